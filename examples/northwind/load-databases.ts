import { isLoaded, loadCrm, loadErp } from './load.js';

/** Fills the two databases of docker-compose.yml, unless they are filled already. */
const { ERP_URL: erp, CRM_URL: crm } = process.env;
if (!erp || !crm) throw new Error('ERP_URL and CRM_URL must say where the databases are.');
await Promise.all([
  isLoaded(erp, 'customer').then((loaded) => (loaded ? undefined : loadErp(erp))),
  isLoaded(crm, 'company').then((loaded) => (loaded ? undefined : loadCrm(crm))),
]);
console.log('Both databases hold Northwind.');
