"""What moto's interpreter of state machines lacks of a Distributed Map.

It refuses EXPRESS children and a whole number as ToleratedFailurePercentage, lists one page of objects only,
evaluates the ResultWriter's parameters against the children's outputs, keeps nothing of a child, and leaves
the list of result files empty.
What AWS writes: https://docs.aws.amazon.com/step-functions/latest/dg/input-output-resultwriter.html
"""

import json
import threading
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from moto.stepfunctions.parser.asl.component.state.exec.state_map.item_reader.eval import (
    resource_eval_s3 as reading,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.itemprocessor import (
    distributed_item_processor,
    map_run_record,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.itemprocessor.distributed_item_processor_worker import (  # noqa: E501 - moto's name
    DistributedItemProcessorWorker,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.result_writer import result_writer_decl
from moto.stepfunctions.parser.asl.component.state.exec.state_map.result_writer.resource_eval import (
    resource_eval_s3 as writing,
)
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.program_state import ProgramEnded, ProgramError
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser
from moto.stepfunctions.parser.utils import long_uid

from emulator.clients import client

_Child = dict[str, Any]
# The children of each map run that ended, by its ARN.
_CHILDREN: dict[str, list[_Child]] = defaultdict(list)
_ADDING = threading.Lock()
_parse_of_moto = AmazonStateLanguageParser.parse


def _parse(definition: str) -> Any:
    """Parse a definition, in the words that moto's grammar has."""
    return _parse_of_moto(json.dumps(json.loads(definition, object_hook=_as_moto_has_it)))


def _as_moto_has_it(content: dict[str, Any]) -> dict[str, Any]:
    """The percentage with a decimal point; STANDARD children, which run in the same way."""
    known = {**content, "ExecutionType": "STANDARD"} if "ExecutionType" in content else {**content}
    if "ToleratedFailurePercentage" in known:
        known["ToleratedFailurePercentage"] = float(known["ToleratedFailurePercentage"])
    return known


class _Worker(DistributedItemProcessorWorker):
    """Runs one child after the other, as moto's does without recursion, and keeps what became of each."""

    def eval(self) -> None:
        while (job := self._job_pool.next_job()) is not None:
            began, frame = _now(), self._env.open_inner_frame()
            self._eval_job(env=frame, job=job)
            with _ADDING:
                _CHILDREN[self._map_run_record.map_run_arn].append(self._child(frame, began))
            self._env.delete_frame(frame)
            self._job_pool.close_job(job)

    def _eval_input(self, env_frame: Environment) -> None:
        super()._eval_input(env_frame)
        frame: Any = env_frame
        frame.input_of_child = env_frame.states.get_input()

    def _child(self, frame: Environment, began: str) -> _Child:
        """What a result file says of an execution."""
        machine, name, ended = self._map_run_record.map_state_machine_arn, long_uid(), frame.program_state()
        child = {
            "ExecutionArn": f"{machine.replace(':stateMachine:', ':express:')}:{name}",
            "Input": json.dumps(getattr(frame, "input_of_child", None)),
            "InputDetails": {"Included": True},
            "Name": name,
            "StartDate": began,
            "StateMachineArn": machine,
            "StopDate": _now(),
        }
        if isinstance(ended, ProgramEnded):
            output = json.dumps(frame.states.get_input())
            details = {"Included": True}
            return {**child, "Status": "SUCCEEDED", "Output": output, "OutputDetails": details}
        error = ended.error if isinstance(ended, ProgramError) and ended.error else {}
        return {**child, "Status": "FAILED", "Error": error.get("error"), "Cause": error.get("cause")}


def _eval_result_writer(self: result_writer_decl.ResultWriter, env: Environment) -> None:
    """Evaluate the parameters against the state's own input, which is below the children's outputs."""
    outputs = env.stack.pop()
    self.parargs.eval(env=env)
    parameters = env.stack.pop()
    env.stack.extend([outputs, parameters])
    self.resource_eval.eval_resource(env=env)


def _put_object(env: Environment, resource_runtime_part: Any, _credentials: Any) -> None:
    """Write the files of a ResultWriter and their manifest, which moto leaves empty."""
    parameters = env.stack.pop()
    env.stack.pop()
    run: map_run_record.MapRunRecord = env.map_run_record_pool_manager.get_all()[-1]
    bucket, prefix = parameters["Bucket"], parameters.get("Prefix", "")
    folder = f"{prefix}{'/' if prefix and not prefix.endswith('/') else ''}{run.map_run_arn.split(':')[-1]}/"
    s3 = client("s3", resource_runtime_part.region)

    def put(name: str, content: Any) -> dict[str, Any]:
        body = json.dumps(content).encode()
        s3.put_object(Bucket=bucket, Key=folder + name, Body=body)
        return {"Key": folder + name, "Size": len(body)}

    children = _CHILDREN.pop(run.map_run_arn, [])
    files: dict[str, list[Any]] = {"FAILED": [], "PENDING": [], "SUCCEEDED": []}
    for status, entries in files.items():
        if those := [child for child in children if child["Status"] == status]:
            entries.append(put(f"{status}_0.json", those))
    manifest = {"DestinationBucket": bucket, "MapRunArn": run.map_run_arn, "ResultFiles": files}
    key = put("manifest.json", manifest)["Key"]
    details = {"Bucket": bucket, "Key": key}
    env.stack.append({"MapRunArn": run.map_run_arn, "ResultWriterDetails": details})


def _list_objects_v2(env: Environment, resource_runtime_part: Any, _credentials: Any) -> None:
    """Every object below the prefix; moto knows the first thousand, and dies where there is none."""
    pages = client("s3", resource_runtime_part.region).get_paginator("list_objects_v2")
    found = [entry for page in pages.paginate(**env.stack.pop()) for entry in page.get("Contents", [])]
    env.stack.append(json.loads(json.dumps(found, default=str)))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def install() -> None:
    """Put all of this into moto's interpreter."""
    for place, name, ours in (
        (AmazonStateLanguageParser, "parse", staticmethod(_parse)),
        (distributed_item_processor, "DistributedItemProcessorWorker", _Worker),
        (result_writer_decl.ResultWriter, "_eval_body", _eval_result_writer),
        (reading.ResourceEvalS3, "_handle_list_objects_v2", staticmethod(_list_objects_v2)),
        (writing.ResourceEvalS3, "_handle_put_object", staticmethod(_put_object)),
    ):
        setattr(place, name, ours)
