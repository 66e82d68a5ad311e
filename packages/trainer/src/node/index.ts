export {
  FINAL_CHECKPOINT,
  loadRunModel,
  readRunCheckpoint,
  type CreateNetwork,
  type RunCheckpoint,
  type RunModel,
} from './load-run-model.js';
export {
  createFileModel,
  loadModelFile,
  ModelFileError,
  readModelFile,
  saveModelFile,
  type ModelFile,
} from './model-file.js';
export { writeAtomic, writeJson } from './atomic-file.js';
export type { KeepBestOptions } from './keep-best.js';
export {
  checkRunFolder,
  claimFreshFolder,
  createRunFolder,
  RunFolderError,
  RunWriteError,
  type BrokenOffSummary,
  type RunFolder,
} from './run-folder.js';
export {
  readRunStatus,
  trainInFolder,
  type FolderOptions,
  type FolderResult,
  type ResumeOptions,
  type RunStatus,
} from './train-in-folder.js';
