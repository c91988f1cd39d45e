import { ensureJars, jarsAreThere } from './jars.js';

/** Run by the scripts before anything starts, so that a download is seen as one and not as a slow server. */
if (!(await jarsAreThere())) {
  console.log('Downloading Kafka and the schema registry through Maven (about 200 MB, once) …');
  await ensureJars();
}
