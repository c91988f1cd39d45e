/** Every topic's name, from the prefix and the plan; nobody else puts topic names together. */
export class TopicNames {
  constructor(private readonly prefix: string) {}

  change(system: string, entity: string): string {
    return `${this.prefix}.change.${system}.${entity}`;
  }
  canonical(entity: string): string {
    return `${this.prefix}.canonical.${entity}`;
  }
  decision(entity: string): string {
    return `${this.prefix}.decision.${entity}`;
  }
  hold(entity: string): string {
    return `${this.prefix}.hold.${entity}`;
  }
  command(sync: string, system: string): string {
    return `${this.prefix}.command.${sync}.${system}`;
  }
  outcome(sync: string, system: string): string {
    return `${this.prefix}.outcome.${sync}.${system}`;
  }
  state(sync: string): string {
    return `${this.prefix}.state.${sync}`;
  }
  position(system: string): string {
    return `${this.prefix}.position.${system}`;
  }
  request(): string {
    return `${this.prefix}.request`;
  }
  control(sync: string): string {
    return `${this.prefix}.control.${sync}`;
  }
  heartbeat(): string {
    return `${this.prefix}.heartbeat`;
  }
}
