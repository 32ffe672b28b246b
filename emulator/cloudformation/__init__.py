"""The resource types that moto's CloudFormation lacks or gets wrong, one file each, and how stacks deploy."""
