import { readdirSync, readFileSync, readlinkSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';

/** Who has claimed a run folder. Identifies a process for good: a later one may get the same pid, but not all of this. */
interface Claimant {
  readonly pid: number;
  readonly host: string;
  /** When the process started, in ticks since the machine did (Linux); `''` where that is not to be had. */
  readonly started: string;
  /** The machine's start, and the process numbers' name space (Linux). */
  readonly boot: string;
  readonly namespace: string;
}

const claimFile = /^\.lock-\d+-\w*$/;
const attempts = 5;

/** Claims that this process holds: another training in it is as foreign as another process. */
const held = new Set<string>();

/** True for the name of a claim, which does not count as content of a folder. */
export function isClaim(name: string): boolean {
  return claimFile.test(name);
}

/**
 * Claims a folder for this process and returns what gives it back; the answer is the other process where one has it.
 *
 * Every process writes a claim of its own and then looks for others, so that of two at least one sees the other. A claim
 * whose process is gone, as after SIGKILL, does not count. No clock is asked. A claim from another machine counts for as
 * long as it is there: whether its process lives cannot be seen from here.
 */
export function claimFolder(folder: string): (() => void) | { readonly holder: string; readonly file: string } {
  const self = claimantOf(process.pid);
  const own = join(realpathSync(folder), `.lock-${self.pid}-${self.started}`);
  if (held.has(own)) return { holder: 'another training of this process', file: own };
  for (let attempt = 1; ; attempt += 1) {
    claim(own, self);
    const other = otherClaim(folder, self);
    if (other === undefined) {
      held.add(own);
      return () => {
        held.delete(own);
        rmSync(own, { force: true });
      };
    }
    rmSync(own, { force: true });
    if (attempt === attempts) return other;
    // Two that look at the same moment both step back: the one that comes again sooner finds the other gone.
    pause(Math.random() * 20 * attempt);
  }
}

function claim(own: string, self: Claimant): void {
  try {
    writeFileSync(own, JSON.stringify(self));
  } catch (error) {
    rmSync(own, { force: true });
    throw error;
  }
}

function otherClaim(folder: string, self: Claimant): { readonly holder: string; readonly file: string } | undefined {
  for (const name of readdirSync(folder)) {
    if (!isClaim(name)) continue;
    const file = join(folder, name);
    const claimant = read(file);
    // Gone meanwhile, or not yet written: a process that is about to write it looks for ours afterwards.
    if (claimant === undefined || isSame(claimant, self)) continue;
    if (hasEnded(claimant, self)) rmSync(file, { force: true });
    else return { holder: `process ${claimant.pid} on ${claimant.host}`, file };
  }
  return undefined;
}

function hasEnded(claimant: Claimant, self: Claimant): boolean {
  if (claimant.host !== self.host) return false;
  if (claimant.boot !== self.boot) return true;
  // Process numbers of another container mean nothing here.
  if (claimant.namespace !== self.namespace) return false;
  try {
    process.kill(claimant.pid, 0);
  } catch (error) {
    // EPERM: it runs, as another user.
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return true;
  }
  return startOf(claimant.pid) !== claimant.started;
}

function isSame(a: Claimant, b: Claimant): boolean {
  return (['pid', 'host', 'started', 'boot', 'namespace'] as const).every((key) => a[key] === b[key]);
}

function claimantOf(pid: number): Claimant {
  const boot = readOr(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim());
  const namespace = readOr(() => readlinkSync('/proc/self/ns/pid'));
  return { pid, host: hostname(), started: startOf(pid), boot, namespace };
}

/** Field 22 of /proc/<pid>/stat; the name in field 2 may hold spaces and brackets. */
function startOf(pid: number): string {
  return readOr(
    () =>
      readFileSync(`/proc/${pid}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ')[19] ?? '',
  );
}

function read(file: string): Claimant | undefined {
  try {
    const value = JSON.parse(readFileSync(file, 'utf8')) as Claimant;
    return Number.isInteger(value.pid) && typeof value.host === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}

function readOr(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}

function pause(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
