"""The sandbox's monitoring: Prometheus, Alertmanager and exporters, and what stands in for the rest.

No package ships kube-state-metrics, cert-manager or a pager: ``__main__`` is one small process that serves
the metrics of the sandbox's cluster that rules read (``exporter``), and receives alerts (``receivers``).
"""

from __future__ import annotations

from typing import Final

SERVED: Final = ("kube-state-metrics", "kubelet", "cert-manager", "apiserver", "blackbox")
"""The scrape jobs that the small process serves."""
JOBS: Final = ("bais-api", "postgres", "redis", "node", "prometheus", "alertmanager", *SERVED)
"""All scrape jobs."""
