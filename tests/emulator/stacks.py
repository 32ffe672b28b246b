"""A stack made through CloudFormation's API, and what became of it."""

import json

from emulator import settings
from emulator.clients import client_at


class Stack:
    def __init__(self, emulator, name):
        self.emulator = emulator
        self.name = name
        self.cloudformation = self.client("cloudformation")

    def client(self, service):
        return client_at(self.emulator.url, service, settings.REGION)

    def create(self, resources, **more):
        template = json.dumps({"Resources": resources, **more})
        self.cloudformation.create_stack(StackName=self.name, TemplateBody=template)

    def update(self, resources, **more):
        template = json.dumps({"Resources": resources, **more})
        self.cloudformation.update_stack(StackName=self.name, TemplateBody=template)

    @property
    def status(self):
        return self.cloudformation.describe_stacks(StackName=self.name)["Stacks"][0]["StackStatus"]

    @property
    def physical_ids(self):
        resources = self.cloudformation.describe_stack_resources(StackName=self.name)["StackResources"]
        return {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}

    def reasons(self, status):
        events = self.cloudformation.describe_stack_events(StackName=self.name)["StackEvents"]
        return [event["ResourceStatusReason"] for event in events if event["ResourceStatus"] == status]

    @property
    def topics(self):
        return {topic["TopicArn"].rpartition(":")[2] for topic in self.client("sns").list_topics()["Topics"]}
