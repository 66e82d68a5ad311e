export { FINAL_CHECKPOINT, loadRunModel, type RunModel } from './load-run-model.js';
export {
  createFileModel,
  loadModelFile,
  ModelFileError,
  readModelFile,
  saveModelFile,
  type ModelFile,
} from './model-file.js';
export {
  checkRunFolder,
  claimFreshFolder,
  createRunFolder,
  RunFolderError,
  writeAtomic,
  writeJson,
  type BrokenOffSummary,
  type RunFolder,
} from './run-folder.js';
export { createEventFile, type EventFile, type EventFileOptions } from './tensorboard.js';
export { writeMetricsCsv } from './metrics-csv.js';
