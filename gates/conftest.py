"""The fixtures of the suite that the plugin does not bring.

They are imported by name: pytest refuses ``pytest_plugins`` in a conftest that it meets only while
collecting, as it meets this one by ``pytest .`` in a project that keeps other tests beside this folder.
"""

from bais_gates.bais.fixtures import api, done_load_run, load_run, new_business
from bais_gates.oncall.fixtures import oncall

__all__ = ["api", "done_load_run", "load_run", "new_business", "oncall"]
