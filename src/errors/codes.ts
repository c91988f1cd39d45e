/** What a task may do after an error: try at once, try after a pause, wait for a person, or give up. */
export type Retry = 'now' | 'backoff' | 'operator' | 'never';

export interface ErrorKind {
  readonly retry: Retry;
  /** What the reader of the error can do about it; a thrower may give a more exact hint. */
  readonly hint: string;
}

/**
 * Every error Duolog raises, with its retry policy and what to do about it.
 * docs/errors.md explains each; a test keeps both lists equal.
 */
export const ERROR_KINDS = {
  API_PORT_TAKEN: {
    retry: 'never',
    hint: 'Choose another http.port (0 takes a free one), or end the process that has it.',
  },
  API_UNREACHABLE: {
    retry: 'never',
    hint: 'Start `duolog run`, or name the address of its API with --url.',
  },
  CONFIG_CHANGED: {
    retry: 'operator',
    hint: 'Run the configuration that made this state, or reset the sync with a new prefix.',
  },
  CONFIG_INVALID: { retry: 'never', hint: 'Correct the configuration at the named path.' },
  CONFIG_NOT_FOUND: {
    retry: 'never',
    hint: 'Name the configuration file with --config, or start in its folder.',
  },
  CONNECTOR_UNKNOWN: { retry: 'never', hint: 'Use one of the kinds named in the message under `connector`.' },
  FAIL_POINT: { retry: 'now', hint: 'A test armed this place with DUOLOG_FAIL_POINTS.' },
  HISTORY_MISSING: {
    retry: 'operator',
    hint: 'What a task would have to read has been deleted: run `duolog resync` for the system named in the message.',
  },
  INTERNAL: { retry: 'never', hint: 'This is a defect of Duolog; please report it with the log.' },
  KAFKA_CLIENT_VERSION: {
    retry: 'never',
    hint: 'Install the kafkajs version named in the message: the corrections of its defects are made for that one.',
  },
  KAFKA_COMMIT_UNKNOWN: {
    retry: 'backoff',
    hint: "The task opens again by itself and finds out what was committed; look at the broker's health if it comes often.",
  },
  KAFKA_FENCED: {
    retry: 'backoff',
    hint: 'Another process has taken over this task; nothing needs doing unless two deployments share one prefix.',
  },
  KAFKA_MESSAGE_TOO_LARGE: {
    retry: 'operator',
    hint: 'Raise max.message.bytes and segment.bytes of the topic named in the message.',
  },
  KAFKA_NOT_ALLOWED: {
    retry: 'operator',
    hint: "Give Duolog's user the right named in the message, or correct its credentials.",
  },
  KAFKA_OFFSET_OUT_OF_RANGE: {
    retry: 'operator',
    hint: 'Records were deleted before they were read; the next opening of the task says which `duolog resync` to run.',
  },
  KAFKA_SESSION_TIMEOUT_INVALID: {
    retry: 'operator',
    hint: "Choose a session timeout between the broker's group.min.session.timeout.ms and group.max.session.timeout.ms.",
  },
  KAFKA_TOPIC_MISSING: {
    retry: 'operator',
    hint: 'Start `duolog run`, which makes topics; if the topic was deleted, that names the `duolog resync` to run.',
  },
  KAFKA_UNREACHABLE: {
    retry: 'backoff',
    hint: 'Check that the brokers of the configuration run and can be reached from here.',
  },
  MESSAGE_UNREADABLE: {
    retry: 'operator',
    hint: 'Something else wrote to a topic of Duolog, or the schema registry was replaced; see the topic and offset.',
  },
  NAME_UNKNOWN: { retry: 'never', hint: 'Use one of the names in the message.' },
  RECORDS_VANISHED: {
    retry: 'operator',
    hint: 'If they were deleted, run `duolog resync` with --allow-deletes; if they were lost, bring them back and run `duolog resync`.',
  },
  REGISTRY_REFUSED: { retry: 'operator', hint: 'Check the rights and settings at the schema registry.' },
  REGISTRY_UNREACHABLE: { retry: 'backoff', hint: 'Check that the schema registry runs and its address is right.' },
  RESYNC_REQUESTED: { retry: 'now', hint: 'Nothing: the source opens anew and does what `duolog resync` asked for.' },
  SCHEMA_INCOMPATIBLE: {
    retry: 'operator',
    hint: 'Undo the change of the column, or register the schema yourself once every subscriber can read it.',
  },
  SCHEMA_UNKNOWN: {
    retry: 'operator',
    hint: 'The topics were written with another schema registry: restore its schemas or start under a new prefix.',
  },
  SINK_BUSY: {
    retry: 'backoff',
    hint: "Another session holds the sink's row in duolog.sink; end it if it is not a Duolog process that still works.",
  },
  SINK_COMMIT_UNKNOWN: {
    retry: 'backoff',
    hint: 'The answer to a COMMIT was lost; the sink opens again and reads what was committed.',
  },
  SINK_FENCED: { retry: 'backoff', hint: 'Another process has taken over this sink; this one leaves it.' },
  SINK_LOGIN: { retry: 'operator', hint: "Correct the user, the password or the database in the system's url." },
  SINK_RIGHTS: {
    retry: 'operator',
    hint: 'Run the statement in the message as the owner of the table, or as a superuser.',
  },
  SINK_TABLE_CHANGED: {
    retry: 'operator',
    hint: 'A table that is written to has changed; run `duolog check`, correct table or configuration and start again.',
  },
  SINK_TROUBLED: {
    retry: 'backoff',
    hint: 'The target is short of something (disk, memory, connections): see its log; commands wait in Kafka and nothing is lost.',
  },
  SINK_UNREACHABLE: {
    retry: 'backoff',
    hint: "Bring the server back, or correct the system's url; commands wait in Kafka and nothing is lost.",
  },
  SLOT_IN_USE: {
    retry: 'backoff',
    hint: "Another session reads the replication slot and could not be ended; end it, or give Duolog's role pg_signal_backend.",
  },
  SLOT_LIMIT: {
    retry: 'operator',
    hint: 'Raise max_replication_slots and max_wal_senders, or drop slots that nobody uses, then start again.',
  },
  SLOT_LOST: {
    retry: 'operator',
    hint: 'The system no longer has changes that we have not read: run `duolog resync` for it.',
  },
  SLOT_UNUSABLE: { retry: 'operator', hint: 'Drop the slot named in the message, or choose another prefix.' },
  SOURCE_FAILED: {
    retry: 'backoff',
    hint: 'The system answered with an error of its own, named in the message; its log says more.',
  },
  SOURCE_FENCED: { retry: 'backoff', hint: 'Another process has taken over this source; this one leaves it.' },
  SOURCE_LOGIN: { retry: 'operator', hint: "Correct the user, the password or the database in the system's url." },
  SOURCE_POSITION_INVALID: {
    retry: 'operator',
    hint: 'The position was written by another version or kind of connector: run that one, or start under a new prefix.',
  },
  SOURCE_PUBLICATION: {
    retry: 'operator',
    hint: 'Run the statement in the message as the owner of the tables, or as a superuser.',
  },
  SOURCE_RIGHTS: {
    retry: 'operator',
    hint: 'Run the statement in the message as the owner of the table, or as a superuser.',
  },
  SOURCE_UNREACHABLE: {
    retry: 'backoff',
    hint: "Bring the server back, or correct the system's url; it keeps its changes until they are read.",
  },
  SOURCE_VERSION: { retry: 'operator', hint: 'Capture needs Postgres 14 or later.' },
  STATE_DISK_FULL: {
    retry: 'backoff',
    hint: 'Make room on that disk, or name another folder under state.folder; nothing is lost, the state is in Kafka too.',
  },
  STATE_FOLDER_UNUSABLE: {
    retry: 'operator',
    hint: 'Give the process the right to write there, or name another folder under state.folder.',
  },
  STATE_REPLACED: { retry: 'now', hint: 'Nothing: the sink begins anew with the new state.' },
  STATE_UNREADABLE: {
    retry: 'operator',
    hint: 'The state was written by a newer version of Duolog: run that one.',
  },
  TABLE_NOT_FOUND: { retry: 'operator', hint: 'Correct the table name in the configuration, or create the table.' },
  TABLE_REPLICA_IDENTITY: {
    retry: 'operator',
    hint: 'Run the statement in the message, so that updates and deletes name the row they changed.',
  },
  TABLE_WITHOUT_KEY: { retry: 'operator', hint: 'Add a primary key to the table: a record is known by it.' },
  TARGET_NOT_EMPTY: {
    retry: 'never',
    hint: 'Give the entity a match rule that works there, or empty the table; `match: none` says that nothing is ever matched and doubles are meant.',
  },
  TOPIC_SETTINGS_WRONG: { retry: 'operator', hint: 'Run the command given in the message, then start again.' },
  WAL_LEVEL: {
    retry: 'operator',
    hint: "Run ALTER SYSTEM SET wal_level = 'logical' and restart the database server.",
  },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERROR_KINDS;
