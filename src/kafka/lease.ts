import { setTimeout as delay } from 'node:timers/promises';
import { DuologError } from '../errors/duolog-error.js';
import type { Lease, Tenure } from '../log/contract.js';
import type { Client } from './client.js';
import { findCoordinator } from './coordinator.js';
import { asDuologError, protocolType, remedy } from './kafka-errors.js';
import { withinPatience } from './patience.js';
import { MemberAssignment, MemberMetadata } from './kafkajs.js';
import { type Broker, type Cluster, GROUP_COORDINATOR, type GroupMember } from './kafkajs-types.js';

/**
 * The right to run a task: membership of a consumer group without any topic. The group's leader gives the task to one
 * member, to the one that has it if it is there; the others stand by and take over when it leaves or falls silent.
 */
export function leaseOf(client: Client, group: string): Lease {
  return {
    acquire: async (signal, onElsewhere) => {
      signal.throwIfAborted();
      const cluster = await client.cluster().catch((error: unknown) => {
        throw asDuologError(error, `joining the group ${group}`);
      });
      return new Member(client, cluster, group, onElsewhere).acquire(signal);
    },
  };
}

const PROTOCOL = 'duolog-lease';
const NO_CLAIM = -1;
/** The broker does not know this member, or has gone on without it: whatever it held is another's now. */
const EXPELLED: ReadonlySet<string> = new Set(['UNKNOWN_MEMBER_ID', 'ILLEGAL_GENERATION', 'FENCED_INSTANCE_ID']);
const MAX_PAUSE_MS = 500;

type Phase = 'standing-by' | 'holding' | 'over';

class Member {
  #memberId = '';
  #generation = -1;
  /** The generation in which this member was last given the task; what it claims when the group forms anew. */
  #claim = NO_CLAIM;
  #phase: Phase = 'standing-by';
  #lastSignOfLifeMs = performance.now();
  readonly #lost = new AbortController();
  readonly #stop = new AbortController();
  readonly #sessionMs: number;
  readonly #heartbeatMs: number;
  #watch: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();
  #left: Promise<void> | null = null;
  #coordinator: number | null = null;
  #onGained: (() => void) | null = null;
  #onFailed: ((error: unknown) => void) | null = null;

  constructor(
    readonly client: Client,
    readonly cluster: Cluster,
    readonly group: string,
    readonly onElsewhere: (() => void) | undefined,
  ) {
    this.#sessionMs = client.settings.sessionTimeoutMs;
    this.#heartbeatMs = Math.min(500, this.#sessionMs / 6);
  }

  async acquire(signal: AbortSignal): Promise<Tenure> {
    const gained = new Promise<void>((resolve, reject) => {
      this.#onGained = resolve;
      this.#onFailed = reject;
    });
    const onAbort = () => this.#onFailed?.(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    this.#running = this.#run();
    try {
      await gained;
    } catch (error) {
      await this.#leave();
      signal.throwIfAborted();
      throw asDuologError(error, `joining the group ${this.group}`);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
    return { lost: this.#lost.signal, release: () => this.#leave() };
  }

  /** Joins, beats, joins again when the group changes; ends when the lease is lost or given back. */
  async #run(): Promise<void> {
    let troubles = 0;
    while (!this.#stop.signal.aborted) {
      try {
        await this.#join();
        troubles = 0;
        await this.#beat();
      } catch (error) {
        if (this.#stop.signal.aborted) return;
        if (!(await this.#survive(error, troubles++))) return;
      }
    }
  }

  async #join(): Promise<void> {
    const coordinator = await this.#findCoordinator();
    const groupId = this.group;
    const joined = await coordinator.joinGroup({
      groupId,
      sessionTimeout: this.#sessionMs,
      // Who does not join again in this time is left out. It must be shorter than the session: a holder hears nothing
      // while the group waits.
      rebalanceTimeout: Math.ceil(this.#sessionMs / 2),
      memberId: this.#memberId,
      groupProtocols: [{ name: PROTOCOL, metadata: claimOf(this.#claim) }],
    });
    this.#memberId = joined.memberId;
    this.#generation = joined.generationId;
    const { memberAssignment } = await coordinator.syncGroup({
      groupId,
      generationId: joined.generationId,
      memberId: joined.memberId,
      groupAssignment: joined.leaderId === joined.memberId ? assign(joined.members) : [],
    });
    this.#signOfLife();
    if (isHolder(memberAssignment)) this.#gain();
    else if (this.#phase === 'standing-by') this.onElsewhere?.();
    else this.#lose('the group gave it to another member');
  }

  async #beat(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      await delay(this.#heartbeatMs, undefined, { signal: this.#stop.signal });
      const coordinator = await this.#findCoordinator();
      const sentMs = performance.now();
      try {
        await coordinator.heartbeat({
          groupId: this.group,
          memberId: this.#memberId,
          groupGenerationId: this.#generation,
        });
      } catch (error) {
        // The group forms anew, and this member still belongs to it.
        if (protocolType(error) === 'REBALANCE_IN_PROGRESS') this.#signOfLife(sentMs);
        throw error;
      }
      this.#signOfLife(sentMs);
    }
  }

  /** Whether this member goes on after an error. */
  async #survive(error: unknown, troubles: number): Promise<boolean> {
    const type = protocolType(error);
    if (type === 'REBALANCE_IN_PROGRESS') return true;
    if (type !== null && EXPELLED.has(type)) {
      this.#memberId = '';
      this.#claim = NO_CLAIM;
      this.#lose(`the broker answered ${type}`);
      return true;
    }
    this.#coordinator = null;
    if (remedy(error) === 'fatal') {
      this.#lose(`the broker answered ${type ?? String(error)}`);
      this.#onFailed?.(sessionTimeoutError(type, this.#sessionMs, error) ?? error);
      return false;
    }
    this.client.settings.logger.debug({ err: error, group: this.group }, 'The lease group does not answer');
    await this.cluster.refreshMetadata().catch(() => undefined);
    const pauseMs = Math.min(10 * 2 ** Math.min(troubles, 10), MAX_PAUSE_MS);
    await delay(pauseMs, undefined, { signal: this.#stop.signal }).catch(() => undefined);
    return true;
  }

  #gain(): void {
    this.#claim = this.#generation;
    if (this.#phase !== 'standing-by') return;
    this.#phase = 'holding';
    this.#watchSession();
    this.client.settings.observer.leaseGained?.(this.group);
    this.#onGained?.();
  }

  /** A lease that was lost is not taken again by the same member: the task has to begin anew first. */
  #lose(why: string): void {
    if (this.#phase !== 'holding') return;
    this.#phase = 'over';
    this.#claim = NO_CLAIM;
    const { logger, observer } = this.client.settings;
    logger.warn({ group: this.group }, `The lease is lost: ${why}`);
    observer.leaseLost?.(this.group);
    this.#lost.abort(new DuologError('KAFKA_FENCED', `The lease ${this.group} is lost: ${why}`));
    void this.#leave();
  }

  /** Silence is counted from when a beat was sent: the broker has it later, never earlier. */
  #signOfLife(atMs = performance.now()): void {
    this.#lastSignOfLifeMs = atMs;
  }

  /** The broker gives the task away after a session without a beat, whether or not we can hear that it does. */
  #watchSession(): void {
    this.#watch = setInterval(() => {
      if (performance.now() - this.#lastSignOfLifeMs > this.#sessionMs) this.#lose('no answer for a whole session');
    }, this.#heartbeatMs);
  }

  #leave(): Promise<void> {
    this.#left ??= this.#doLeave();
    return this.#left;
  }

  async #doLeave(): Promise<void> {
    this.#phase = 'over';
    this.#stop.abort();
    clearInterval(this.#watch);
    // A request to join that is under way makes a member that would have to be waited for: it is awaited, then it leaves.
    await withinPatience(this.#running);
    await withinPatience(this.#sayGoodbye());
    await withinPatience(this.cluster.disconnect());
  }

  async #sayGoodbye(): Promise<void> {
    if (this.#memberId === '') return;
    const coordinator = await this.#findCoordinator();
    await coordinator.leaveGroup({ groupId: this.group, memberId: this.#memberId });
  }

  async #findCoordinator(): Promise<Broker> {
    if (this.#coordinator !== null) return this.cluster.findBroker({ nodeId: this.#coordinator });
    await this.cluster.refreshMetadataIfNecessary();
    const coordinator = await findCoordinator(this.cluster, GROUP_COORDINATOR, this.group);
    this.#coordinator = coordinator.nodeId;
    return coordinator;
  }
}

function sessionTimeoutError(type: string | null, sessionMs: number, cause: unknown): DuologError | null {
  if (type !== 'INVALID_SESSION_TIMEOUT') return null;
  return new DuologError('KAFKA_SESSION_TIMEOUT_INVALID', `The brokers do not accept a session of ${sessionMs} ms`, {
    cause,
  });
}

function claimOf(claim: number): Buffer {
  const userData = Buffer.alloc(4);
  userData.writeInt32BE(claim, 0);
  return MemberMetadata.encode({ version: 1, topics: [], userData });
}

/** One member holds: the one with the newest claim, else the first. Every member but that one stands by. */
function assign(members: readonly GroupMember[]): { memberId: string; memberAssignment: Buffer }[] {
  const claims = members.map(({ memberMetadata }) => readClaim(memberMetadata));
  const holder = claims.indexOf(Math.max(...claims));
  return members.map(({ memberId }, index) => ({
    memberId,
    memberAssignment: MemberAssignment.encode({
      version: 1,
      assignment: {},
      userData: Buffer.from([index === holder ? 1 : 0]),
    }),
  }));
}

function readClaim(metadata: Buffer): number {
  const userData = MemberMetadata.decode(metadata)?.userData;
  return userData !== undefined && userData.length >= 4 ? userData.readInt32BE(0) : NO_CLAIM;
}

function isHolder(assignment: Buffer): boolean {
  return assignment.length > 0 && MemberAssignment.decode(assignment)?.userData[0] === 1;
}
