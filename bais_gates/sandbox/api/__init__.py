"""The sandbox's reference BAIS API: the whole contract on Starlette, PostgreSQL and Redis, in one process.

``python -m bais_gates.sandbox.api.migrate CONFIG`` brings the database to the current schema, then ``python
-m bais_gates.sandbox.api CONFIG --fd N`` (or ``--port N``) serves. Faults make it wrong on purpose: see
:mod:`bais_gates.sandbox.faults`.
"""
