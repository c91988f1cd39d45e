import type { Broker, Cluster } from './kafkajs-types.js';

/**
 * The broker that coordinates a group or a transactional id. kafkajs's own search swallows what the brokers answer,
 * a missing right too, and says that no coordinator was found.
 */
export async function findCoordinator(cluster: Cluster, type: number, name: string): Promise<Broker> {
  const any = await cluster.findControllerBroker();
  const { coordinator } = await any.findGroupCoordinator({ groupId: name, coordinatorType: type });
  return cluster.findBroker({ nodeId: coordinator.nodeId });
}
