/** Something a machine may lack and a test may need. */
export type Requirement = 'chromium' | 'redis' | 'tensorflow' | 'tensorboard' | 'npm' | 'webgpu';

/**
 * For `describe.skipIf(lacks('chromium', found))`: true when the thing is absent and may be. Under
 * `POLDER_REQUIRE=chromium,redis` (as `.ci/run` sets it for what has landed) an absent thing that is listed is an error.
 */
export function lacks(requirement: Requirement, present: boolean): boolean {
  if (present) return false;
  const required = (process.env['POLDER_REQUIRE'] ?? '').split(',').map((name) => name.trim());
  if (required.includes(requirement))
    throw new Error(`POLDER_REQUIRE lists ${requirement}, and this machine has none. Install it (see .ci/run).`);
  return true;
}
