// SPDX-License-Identifier: Apache-2.0
// OpenSearch in one process: SearchServer FOLDER PORT. Ends with its standard input.
import org.codelibs.opensearch.runner.OpenSearchRunner;

public class SearchServer {
	public static void main(String[] args) throws Exception {
		OpenSearchRunner runner = new OpenSearchRunner();
		runner.setMaxHttpPort(65535);
		runner.onBuild((number, settings) -> {
			settings.put("network.host", "127.0.0.1");
			settings.put("discovery.type", "single-node");
			// Tests run on nearly full disks, too.
			settings.put("cluster.routing.allocation.disk.threshold_enabled", false);
		}).build(new String[] {"-basePath", args[0], "-numOfNode", "1", "-clusterName", "tapline",
				"-baseHttpPort", String.valueOf(Integer.parseInt(args[1]) - 1)});
		System.in.read();
		runner.close();
		System.exit(0);
	}
}
