/**
 * Awaited wherever a real connector would wait for its system's answer; `point` says where.
 * The simulation lets other processes run there, loses the connection or ends the process.
 */
export type RoundTrip = (point: string) => Promise<void>;
