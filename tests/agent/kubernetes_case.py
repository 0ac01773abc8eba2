# SPDX-License-Identifier: Apache-2.0
"""What tests of names from Kubernetes ask of their agent, whichever API server it has."""
import json
import unittest

import traffic

LABELS = ("client.namespace", "client.workload", "server.namespace", "server.workload", "server.pod",
          "server.name")


class Case(unittest.TestCase):
    """`agent` is an api_test.Agent, `folder` the one with its file `records`."""
    agent = folder = None
    port = 20000

    def metric(self, name, **labels):
        return self.agent.value("/metrics", f"tapline_kubernetes_{name}", **labels)

    def wait_objects(self, pods, services):
        self.agent.wait(lambda: (self.metric("objects", resource="pods"),
                                 self.metric("objects", resource="services")) == (pods, services),
                        f"{pods} pods and {services} services")

    def talk(self, client, server, path="/", server_port=80):
        """One connection with one request; its record."""
        before = len(self.records())
        self.port += 1
        self.agent.conversation = traffic.Conversation(port=self.port, client=client, server=server,
                                                       server_port=server_port)
        self.agent.see(path)
        self.agent.wait(lambda: len(self.records()) > before, "the record")
        record, = self.records()[before:]
        return record

    def records(self):
        path = self.folder / "records"
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith(b"\n")]

    def names(self, record, end):
        return record[end].get("kubernetes")
