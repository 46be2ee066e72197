"""What runs a command every night: a CronJob of Kubernetes, or a rule of EventBridge with a task of ECS."""

import json
import re
import shlex
from collections.abc import Iterator, Sequence


def schedule_lines(name: str, words: Sequence[str], cron: str) -> Iterator[str]:
    """Both, ready to be put into files.

    Args:
        name: Of the CronJob and the rule.
        words: The command.
        cron: Minute, hour, day, month, weekday, in UTC.
    """
    yield "# CronJob: kubectl apply -f -"
    yield from _cron_job(name, words, cron)
    yield ""
    yield "# EventBridge: aws events put-rule and put-targets; put your cluster, task definition and role in."
    rule, targets = _rule(name, words, cron)
    yield f"aws events put-rule --name {name} --schedule-expression {shlex.quote(rule)}"
    yield f"aws events put-targets --rule {name} --targets {shlex.quote(json.dumps(targets))}"


def _cron_job(name: str, words: Sequence[str], cron: str) -> Iterator[str]:
    yield "apiVersion: batch/v1"
    yield "kind: CronJob"
    yield "metadata:"
    yield f"  name: {name}"
    yield "spec:"
    yield f"  schedule: {json.dumps(cron)}"
    yield "  timeZone: Etc/UTC"
    yield "  concurrencyPolicy: Forbid"
    yield "  jobTemplate:"
    yield "    spec:"
    yield "      backoffLimit: 2"
    yield "      template:"
    yield "        spec:"
    yield "          restartPolicy: Never"
    yield "          containers:"
    yield f"            - name: {name}"
    yield "              image: personalize-connect"
    yield f"              args: {json.dumps(list(words))}"
    yield "              envFrom:"
    yield "                - configMapRef: {name: personalize-connect}"


def _rule(name: str, words: Sequence[str], cron: str) -> tuple[str, list[dict[str, object]]]:
    minute, hour, day, month, weekday = cron.split()
    # EventBridge wants a year, and ? where the other of day and weekday says it.
    days = "?" if weekday == "*" else re.sub(r"\d", lambda found: str(int(found[0]) % 7 + 1), weekday)  # Sunday is 1
    fields = (minute, hour, day if weekday == "*" else "?", month, days, "*")
    command = {"containerOverrides": [{"name": "personalize-connect", "command": list(words)}]}
    target: dict[str, object] = {
        "Id": name,
        "Arn": "arn:aws:ecs:REGION:ACCOUNT:cluster/CLUSTER",
        "RoleArn": "arn:aws:iam::ACCOUNT:role/ROLE",
        "EcsParameters": {"TaskDefinitionArn": "arn:aws:ecs:REGION:ACCOUNT:task-definition/TASK", "TaskCount": 1},
        "Input": json.dumps(command),
    }
    return f"cron({' '.join(fields)})", [target]
