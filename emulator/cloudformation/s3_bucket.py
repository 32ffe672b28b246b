"""AWS::S3::Bucket."""

from typing import Any, Self

from emulator.clients import client
from emulator.cloudformation.resource import Properties, Resource

_HOME = "us-east-1"  # whose buckets name no place


class Bucket(Resource):
    """A bucket with its encryption, versions, tags and lifecycle; moto's own type fails in updates.

    Its other properties are kept in the stack, and change nothing here.
    """

    TYPE = "AWS::S3::Bucket"
    NAME_PROPERTY = "BucketName"
    ATTRIBUTES = frozenset({"Arn", "DomainName", "DualStackDomainName", "RegionalDomainName", "WebsiteURL"})

    @classmethod
    def create(cls, name: str, properties: Properties, region: str) -> Self:
        """CreateBucket."""
        place: Properties = {} if region == _HOME else {"LocationConstraint": region}
        client("s3", region).create_bucket(
            Bucket=name, **({"CreateBucketConfiguration": place} if place else {})
        )
        attributes = {
            "Arn": f"arn:aws:s3:::{name}",
            "DomainName": f"{name}.s3.amazonaws.com",
            "DualStackDomainName": f"{name}.s3.dualstack.{region}.amazonaws.com",
            "RegionalDomainName": f"{name}.s3.{region}.amazonaws.com",
            "WebsiteURL": f"http://{name}.s3-website-{region}.amazonaws.com",
        }
        bucket = cls(name, region, properties, attributes)
        bucket._configure(properties)
        return bucket

    def update(self, properties: Properties) -> bool:
        """The same calls; another name makes another bucket."""
        if properties.get("BucketName") != self.properties.get("BucketName"):
            return False
        self._configure(properties)
        return True

    def remove(self) -> None:
        """DeleteBucket, which must be empty."""
        client("s3", self.region).delete_bucket(Bucket=self.physical_resource_id)

    def _configure(self, properties: Properties) -> None:
        s3, name = client("s3", self.region), self.physical_resource_id
        rules = [
            {"ApplyServerSideEncryptionByDefault": rule["ServerSideEncryptionByDefault"]}
            for rule in properties.get("BucketEncryption", {}).get("ServerSideEncryptionConfiguration", [])
        ]
        if rules:
            s3.put_bucket_encryption(Bucket=name, ServerSideEncryptionConfiguration={"Rules": rules})
        else:
            s3.delete_bucket_encryption(Bucket=name)
        if "VersioningConfiguration" in properties:
            s3.put_bucket_versioning(
                Bucket=name, VersioningConfiguration=properties["VersioningConfiguration"]
            )
        if properties.get("Tags"):
            s3.put_bucket_tagging(Bucket=name, Tagging={"TagSet": properties["Tags"]})
        lifecycle = [_rule(rule) for rule in properties.get("LifecycleConfiguration", {}).get("Rules", [])]
        if lifecycle:
            s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": lifecycle})
        else:
            s3.delete_bucket_lifecycle(Bucket=name)


def _rule(rule: Properties) -> dict[str, Any]:
    """A lifecycle rule as the API has it."""
    found: dict[str, Any] = {"Status": rule["Status"], "Filter": {"Prefix": rule.get("Prefix", "")}}
    if "Id" in rule:
        found["ID"] = rule["Id"]
    if "ExpirationInDays" in rule:
        found["Expiration"] = {"Days": int(rule["ExpirationInDays"])}
    if "NoncurrentVersionExpiration" in rule:
        days = rule["NoncurrentVersionExpiration"]["NoncurrentDays"]
        found["NoncurrentVersionExpiration"] = {"NoncurrentDays": int(days)}
    if "AbortIncompleteMultipartUpload" in rule:
        days = rule["AbortIncompleteMultipartUpload"]["DaysAfterInitiation"]
        found["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": int(days)}
    return found
