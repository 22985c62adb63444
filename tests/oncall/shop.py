"""A small platform with one alert that has a runbook, in the layout of a project's gates."""

from __future__ import annotations

import json
from pathlib import Path

from tests.oncall.rotations import content

FILES = {
    "monitoring/metrics.yaml": """\
jobs:
  postgres: {exporter: postgres_exporter, version: "0.11"}
target_labels: [job, instance]
metrics:
  - {name: pg_up, type: gauge, job: postgres, range: [0, 1]}
  - {name: pg_locks, type: gauge, labels: [mode], job: postgres}
""",
    "monitoring/rules.yaml": """\
groups:
  - name: database
    rules:
      - {record: "job:pg_up:min", expr: "min by (job) (pg_up)"}
      - alert: DatabaseDown
        expr: job:pg_up:min == 0
        for: 1m
        labels: {severity: critical, priority: P1, component: database, team: database}
        annotations:
          summary: The database does not answer.
          description: Nothing can be stored.
          runbook_url: https://runbooks.shop.example/DatabaseDown
""",
    "staging/manifests/overlays/production/kustomization.yaml": """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: shop
resources: [objects.yaml]
""",
    "staging/manifests/overlays/production/objects.yaml": """\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: database, labels: {app.kubernetes.io/name: database}}
spec: {ports: [{name: postgres, port: 5432}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: database, labels: {app.kubernetes.io/name: database, app.kubernetes.io/component: database}}
spec:
  replicas: 2
  volumeClaimTemplates: [{metadata: {name: data}}]
  template:
    metadata: {labels: {app.kubernetes.io/name: database}}
    spec:
      containers:
        - name: postgres
          image: postgres
          ports: [{name: postgres, containerPort: 5432}]
          env: [{name: PASSWORD, valueFrom: {secretKeyRef: {name: database-owner, key: password}}}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: api}
spec: {rules: [{host: api.shop.example}]}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: backup}
spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: backup, image: postgres}]}}}}}
""",
    "oncall/rotation.yaml": json.dumps(
        content(
            teams={"database": {"chat": "#database"}, "platform": {"chat": "#platform"}},
            severities={
                "P1": {"acknowledge_within": "5m", "recover_within": "5m"},
                "P2": {"acknowledge_within": "15m", "recover_within": "1h"},
                "P3": {"acknowledge_within": "8h", "recover_within": "3d"},
                "P4": {"acknowledge_within": "5d", "recover_within": "7d"},
            },
        )
    ),
    "oncall/runbooks/DatabaseDown.md": """\
# DatabaseDown

## Meaning
The database does not answer.

## Impact
Nobody can pay.

## Diagnosis
1. Does it run?
   ```sh
   kubectl -n shop get pods -l app.kubernetes.io/name=database   # one is enough
   ```

## Mitigation
```sh
kubectl -n shop rollout restart statefulset/database
```

## Owner
database

## Last reviewed
2026-11-01
""",
    "oncall/runbooks/incident-timeline.md": """\
# Incident timeline

## 0–5 minutes
Acknowledge.

## 5–30 minutes
Mitigate.

## 30 minutes – 4 hours
Mend.

## 24 hours – 1 week
Learn.
""",
    "oncall/runbooks/severity-matrix.md": """\
# Severity matrix

| Severity | Example | Acknowledge within | Recover within |
|---|---|---|---|
| P1 | down for 2 minutes | 5 minutes | 5 minutes |
| P2 | slow | 15 minutes | an hour |
| P3 | worn | a working day | 3 days |
| **P4** | odd | 5 days | a week |
""",
    "oncall/runbooks/post-mortem-template.md": """\
# Post-mortem: <title>

## Summary
<one paragraph>

## Impact
<who>

## Timeline
<when>

## Root cause
<why>

## Actions
<what>
""",
}


def write(folder: Path) -> Path:
    """Write the platform and return its folder of gates."""
    for name, text in FILES.items():
        path = folder / "gates" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder / "gates"
