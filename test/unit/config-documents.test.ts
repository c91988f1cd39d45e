import { expect, it } from 'vitest';
import { configurationJsonSchema } from '../../src/config/json-schema.js';

it('the published JSON Schema is the one that the code checks with (vitest -u writes it anew)', async () => {
  await expect(`${JSON.stringify(configurationJsonSchema(), null, 2)}\n`).toMatchFileSnapshot(
    '../../schemas/duolog.schema.json',
  );
});
