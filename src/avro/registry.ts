// Not the package's index: that loads the cloud providers' encryption clients, some 60 MB for nothing.
import { RestError } from '@confluentinc/schemaregistry/dist/rest-error.js';
import type { ClientConfig } from '@confluentinc/schemaregistry/dist/rest-service.js';
import { Compatibility, SchemaRegistryClient } from '@confluentinc/schemaregistry/dist/schemaregistry-client.js';
import { DuologError } from '../errors/duolog-error.js';
import type { AvroSchema } from './schema.js';

/** Where schemas are kept: registered once under a subject, read back by id. */
export interface SchemaRegistry {
  /**
   * The id of the schema under `<topic>-key` or `<topic>-value`, registered where it is new.
   * @throws DuologError SCHEMA_INCOMPATIBLE with the registry's reason, REGISTRY_UNREACHABLE, REGISTRY_REFUSED.
   */
  register(topic: string, part: 'key' | 'value', schema: AvroSchema): Promise<number>;
  /** @throws DuologError SCHEMA_UNKNOWN, REGISTRY_UNREACHABLE, REGISTRY_REFUSED. */
  schema(id: number): Promise<AvroSchema>;
}

export interface RegistryOptions {
  /** One or more base addresses, separated by commas; user and password may stand in them. */
  readonly url: string;
}

/** Values must stay readable by whoever reads the topic from its start, keys both ways. */
const COMPATIBILITY = { key: Compatibility.FULL, value: Compatibility.BACKWARD_TRANSITIVE } as const;

/** The real registry, by its Confluent-compatible interface, under the topic-name strategy. */
export class HttpSchemaRegistry implements SchemaRegistry {
  private readonly client: SchemaRegistryClient;
  private readonly known = new Map<string, number>();
  private readonly address: string;

  constructor(options: RegistryOptions) {
    const urls = options.url.split(',').map((part) => new URL(part.trim()));
    this.address = urls.map((url) => url.host).join(', ');
    this.client = new SchemaRegistryClient(clientConfig(urls));
  }

  async register(topic: string, part: 'key' | 'value', schema: AvroSchema): Promise<number> {
    const subject = `${topic}-${part}`;
    const text = JSON.stringify(schema);
    const cacheKey = `${subject}\n${text}`;
    const known = this.known.get(cacheKey);
    if (known !== undefined) return known;
    try {
      await this.setCompatibility(subject, COMPATIBILITY[part]);
      const id = await this.client.register(subject, { schema: text, schemaType: 'AVRO' });
      this.known.set(cacheKey, id);
      return id;
    } catch (error) {
      if (error instanceof RestError && error.status === 409) {
        throw new DuologError(
          'SCHEMA_INCOMPATIBLE',
          `The schema of ${subject} cannot follow the one there: ${error.message}`,
          {
            cause: error,
          },
        );
      }
      throw this.failure(`registering the schema of ${subject}`, error);
    }
  }

  async schema(id: number): Promise<AvroSchema> {
    try {
      // The subject only serves the client's cache here.
      const info = await this.client.getBySubjectAndId('', id);
      return JSON.parse(info.schema) as AvroSchema;
    } catch (error) {
      if (error instanceof RestError && error.status === 404) {
        throw new DuologError('SCHEMA_UNKNOWN', `The schema registry at ${this.address} has no schema ${id}.`, {
          cause: error,
        });
      }
      throw this.failure(`reading schema ${id}`, error);
    }
  }

  /** Only set where it differs: a subject of ours that a person has changed is set back. */
  private async setCompatibility(subject: string, wanted: Compatibility): Promise<void> {
    try {
      if ((await this.client.getCompatibility(subject)) === wanted) return;
    } catch (error) {
      if (!(error instanceof RestError && error.status === 404)) throw error;
    }
    await this.client.updateCompatibility(subject, wanted);
  }

  private failure(doing: string, error: unknown): DuologError {
    if (error instanceof RestError && error.status < 500 && error.status !== 429) {
      return new DuologError(
        'REGISTRY_REFUSED',
        `The schema registry at ${this.address} refused ${doing}: ${error.message}`,
        {
          cause: error,
        },
      );
    }
    const reason = error instanceof Error ? error.message : String(error);
    return new DuologError(
      'REGISTRY_UNREACHABLE',
      `No answer from the schema registry at ${this.address} while ${doing}: ${reason}`,
      {
        cause: error,
      },
    );
  }
}

function clientConfig(urls: readonly URL[]): ClientConfig {
  const credentials = urls.find((url) => url.username !== '');
  const bare = urls.map((url) => `${url.origin}${url.pathname}`.replace(/\/+$/, ''));
  return {
    baseURLs: bare,
    cacheCapacity: 10_000,
    // Tasks back off by themselves; the client's own pauses only cover a hiccup.
    maxRetries: 2,
    retriesWaitMs: 100,
    retriesMaxWaitMs: 500,
    createAxiosDefaults: { timeout: 10_000 },
    ...(credentials === undefined
      ? {}
      : {
          basicAuthCredentials: {
            credentialsSource: 'USER_INFO' as const,
            userInfo: `${decodeURIComponent(credentials.username)}:${decodeURIComponent(credentials.password)}`,
          },
        }),
  };
}
