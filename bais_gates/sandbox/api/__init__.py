"""The sandbox's reference BAIS API.

The whole contract on Starlette, PostgreSQL and Redis, in one small process.

``python -m bais_gates.sandbox.api.migrate CONFIG`` brings the database to the current schema, then ``python
-m bais_gates.sandbox.api CONFIG --fd N`` (or ``--port N``) serves. It can be made wrong on purpose, fault
by fault: see :mod:`bais_gates.sandbox.faults`.
"""
