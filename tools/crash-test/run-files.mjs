import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
const bytesOf = (path) => (existsSync(path) ? readFileSync(path) : Buffer.alloc(0));

/** The whole lines of a file; none where it is not there. */
export function linesOf(path) {
  return bytesOf(path).toString('utf8').split('\n').slice(0, -1);
}

/** Whole rows of metrics.jsonl. */
export function rowsOf(run) {
  return linesOf(join(run, 'metrics.jsonl')).map((line) => JSON.parse(line));
}

/** What a run ended with. */
export function resultOf(run) {
  return {
    weights: sha256(bytesOf(join(run, 'checkpoints/final.safetensors'))),
    metrics: sha256(bytesOf(join(run, 'metrics.jsonl'))),
    completed: existsSync(join(run, 'checkpoints/final.safetensors')) && statusOf(run) === 'completed',
    rows: rowsOf(run).length,
  };
}

function statusOf(run) {
  const text = bytesOf(join(run, 'summary.json')).toString('utf8');
  return text === '' ? undefined : JSON.parse(text).status;
}

/** Files of checkpoints: those that a killed process has not finished, and those that count. */
export function checkpointFiles(run) {
  const folder = join(run, 'checkpoints');
  const names = existsSync(folder) ? readdirSync(folder).sort() : [];
  const stems = names.flatMap((name) => /^(state-\d+)\.json$/.exec(name)?.[1] ?? []);
  const unfinished = names.filter((name) => {
    const stem = /^(state-\d+)\.safetensors$/.exec(name)?.[1];
    return name.endsWith('.tmp') || (stem !== undefined && !stems.includes(stem));
  });
  return { folder, stems, unfinished };
}

/** Checks the checkpoints that count by themselves, without Polder: how many there are, and which are not whole. */
export function auditCheckpoints(run) {
  const { folder, stems } = checkpointFiles(run);
  const unreadable = stems.filter((stem) => {
    try {
      const { body, hash, manifest } = readManifest(join(folder, `${stem}.json`));
      return (
        sha256(body) !== hash || sha256(readFileSync(join(folder, `${stem}.safetensors`))) !== manifest.tensors.sha256
      );
    } catch {
      return true;
    }
  });
  return { count: stems.length, unreadable };
}

function readManifest(file) {
  const [, body, hash] = /^\{"manifest":(.*),"sha256":"([0-9a-f]{64})"\}\n$/s.exec(readFileSync(file, 'utf8'));
  return { body, hash, manifest: JSON.parse(body) };
}

/**
 * Spoils every checkpoint of a run. `flip`: a byte of the tensors, which a reader must find. `forge`: a bit of a weight,
 * all hashes put right, which no reader can find: only the final weights tell. `drop`: a slot of the optimizer, likewise.
 * Returns how many files were spoilt.
 */
export function sabotage(run, how) {
  const { folder, stems } = checkpointFiles(run);
  for (const stem of stems) {
    const file = join(folder, `${stem}.safetensors`);
    const bytes = readFileSync(file);
    if (how === 'flip') {
      bytes[bytes.length - 3] ^= 0x40;
      writeFileSync(file, bytes);
      continue;
    }
    const spoilt = how === 'drop' ? withoutSlot(bytes) : withOtherWeight(bytes);
    writeFileSync(file, spoilt);
    const json = join(folder, `${stem}.json`);
    const { manifest } = readManifest(json);
    const body = JSON.stringify({ ...manifest, tensors: { bytes: spoilt.length, sha256: sha256(spoilt) } });
    writeFileSync(json, `{"manifest":${body},"sha256":"${sha256(body)}"}\n`);
  }
  return stems.length;
}

function readHeader(bytes) {
  const length = Number(bytes.readBigUInt64LE(0));
  return { header: JSON.parse(bytes.subarray(8, 8 + length).toString('utf8')), body: 8 + length };
}

function withOtherWeight(bytes) {
  const { header, body } = readHeader(bytes);
  const [, { data_offsets: offsets }] = Object.entries(header).find(([name]) => name.startsWith('weights/out/kernel'));
  const spoilt = Buffer.from(bytes);
  // A high bit of a float's fraction: a change that training carries on.
  spoilt[body + offsets[0] + 2] ^= 0x20;
  return spoilt;
}

function withoutSlot(bytes) {
  const { header, body } = readHeader(bytes);
  const { __metadata__, ...tensors } = header;
  const slot = Object.keys(tensors).find((name) => name.startsWith('state/slots/') || name.startsWith('state/policy/'));
  const kept = Object.entries(tensors)
    .filter(([name]) => name !== slot)
    .sort(([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0]);
  let at = 0;
  const parts = [];
  const entries = kept.map(
    ([
      name,
      {
        data_offsets: [begin, end],
        ...rest
      },
    ]) => {
      parts.push(bytes.subarray(body + begin, body + end));
      const moved = { ...rest, data_offsets: [at, at + end - begin] };
      at += end - begin;
      return [name, moved];
    },
  );
  const json = Buffer.from(JSON.stringify({ __metadata__, ...Object.fromEntries(entries) }));
  const padded = Buffer.alloc(Math.ceil(json.length / 8) * 8, ' ');
  json.copy(padded);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  return Buffer.concat([length, padded, ...parts]);
}
