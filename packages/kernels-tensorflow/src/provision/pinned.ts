/** The versions that belong together; the provisioned folder is named after them. */
export const TENSORFLOW_VERSION = '2.21.0';
export const TFJS_NODE_VERSION = '4.22.0';

/** Raised when what is put in the folder changes for the same versions: our own ops (`native`) too. */
const LAYOUT = 2;

/** `gpu` is the CUDA build; it finds CUDA and cuDNN on the machine, or works on the CPU without them. */
export type Variant = 'cpu' | 'gpu';

/** The wheel on the package index that carries libtensorflow for a variant. */
export const WHEELS: Readonly<Record<Variant, string>> = { cpu: 'tensorflow-cpu', gpu: 'tensorflow' };

/** Bytes needed in the cache while installing: the wheel, its libraries, headers and the addon. */
export const SPACE_NEEDED: Readonly<Record<Variant, number>> = { cpu: 1.4e9, gpu: 4e9 };

export interface NpmPackage {
  readonly name: string;
  readonly version: string;
  /** As in a lock file: `sha512-<base64>`. */
  readonly integrity: string;
}

/** Packages taken from npm as files, none of their scripts run. */
export const NPM_PACKAGES: Readonly<Record<'tfjsNode' | 'googleProtobuf' | 'progress' | 'nodeApiHeaders', NpmPackage>> =
  {
    tfjsNode: {
      name: '@tensorflow/tfjs-node',
      version: TFJS_NODE_VERSION,
      integrity: 'sha512-uHrXeUlfgkMxTZqHkESSV7zSdKdV0LlsBeblqkuKU9nnfxB1pC6DtoyYVaLxznzZy7WQSegjcohxxCjAf6Dc7w==',
    },
    googleProtobuf: {
      name: 'google-protobuf',
      version: '3.21.4',
      integrity: 'sha512-MnG7N936zcKTco4Jd2PX2U96Kf9PxygAPKBug+74LHzmHXmceN16MmRcdgZv+DGef/S9YvQAfRsNCn4cjf9yyQ==',
    },
    progress: {
      name: 'progress',
      version: '2.0.3',
      integrity: 'sha512-7PiHtLll5LdnKIMw100I+8xJXR5gW2QwWYkT6iJva0bXitZKa/XMrSbdmg3r2Xnaidz9Qumd0VPaMrZlF9V9sA==',
    },
    nodeApiHeaders: {
      name: 'node-api-headers',
      version: '1.9.0',
      integrity: 'sha512-2oNILP4jXwRB4ywnYKjVk1YyJ96n2D4EOVJO6S3oYZ5PtbJrw3Yt9TpAuX3nBLMuzn74rnfGQrv13pS9vC+YiA==',
    },
  };

/** The name of a variant's folder in the cache. */
export function folderName(variant: Variant): string {
  return `${TENSORFLOW_VERSION}-${variant}-tfjs-${TFJS_NODE_VERSION}-${process.platform}-${process.arch}-${LAYOUT}`;
}
