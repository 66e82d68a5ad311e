import { existsSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Command } from 'commander';
import { checkSettings } from '../check-settings.js';
import { flagOrigin, flagsGiven } from '../command-settings.js';
import { print, printJson } from '../console.js';
import { UsageError } from '../failure.js';
import { addSettingFlags } from '../flags.js';
import { settingGroups, settingKeys, settingsSchema } from '../settings.js';

interface InitFlags {
  readonly force?: boolean;
  readonly json?: boolean;
}

/** `polder init`: a configuration to start from. */
export function addInit(program: Command): void {
  const command = program
    .command('init')
    .description('write a configuration with every setting, its meaning and its default')
    .argument('[file]', 'where to write it', 'polder.yaml')
    .option('--force', 'write over a file that is there')
    .option('--json', 'print the path and the settings as JSON on stdout');
  addSettingFlags(command, settingGroups);
  command.action(async (file: string, { force = false, json = false, ...flags }: InitFlags) => {
    const given = checkSettings(settingsSchema, flagsGiven(flags), flagOrigin(settingKeys));
    checkTarget(file, force);
    const [{ choosePolicy }, { resolveSettings }, { findNetwork }, { configText }, { writeAtomic }] = await Promise.all(
      [
        import('../policies.js'),
        import('../resolve.js'),
        import('../network.js'),
        import('../config-text.js'),
        import('@polder/trainer/node'),
      ],
    );
    const settings = resolveSettings(given, choosePolicy(given));
    // A network that does not exist would be found out only by the run.
    await findNetwork(given);
    writeAtomic(resolve(file), configText(settings, file));
    if (json) printJson({ file: resolve(file), settings });
    else print(`${file}: now edit it, then polder train --config ${file}`);
  });
}

function checkTarget(file: string, force: boolean): void {
  const folder = dirname(resolve(file));
  if (!existsSync(folder)) throw new UsageError(`${file}: there is no folder ${folder}.`);
  if (!existsSync(file)) return;
  if (statSync(file).isDirectory()) throw new UsageError(`${file} is a folder. Name a file, such as polder.yaml.`);
  if (!force) throw new UsageError(`${file} is there already. Give another name, or --force to write over it.`);
}
