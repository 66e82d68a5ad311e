/** The topology in a saved model: what `model.toJSON` gives, or Keras's converter writes. */
export type Topology = Readonly<Record<string, unknown>>;

/** The activation with which a saved model ends: `'linear'` for none. */
export function lastActivation(topology: Topology): string {
  const { className, config } = outputLayer(rootOf(topology));
  if (className === 'Softmax') return 'softmax';
  return typeof config['activation'] === 'string' ? config['activation'] : 'linear';
}

/**
 * The topology without a softmax at the end, so that the model gives logits; the same topology where it ends otherwise.
 * Softmax and cross-entropy belong in one op, which keeps the logarithm of a probability that rounds to 0. Names stay, and
 * with them the places of the weights.
 */
export function withoutSoftmax(topology: Topology): Topology {
  if (lastActivation(topology) !== 'softmax') return topology;
  const copy = structuredClone(topology);
  const layer = outputLayer(rootOf(copy));
  if (layer.className === 'Softmax') {
    const { name, trainable } = layer.config;
    layer.node['class_name'] = 'Activation';
    layer.node['config'] = { name, ...(trainable !== undefined && { trainable }), activation: 'linear' };
  } else layer.config['activation'] = 'linear';
  return copy;
}

type Node = Record<string, unknown>;

interface LayerNode {
  readonly node: Node;
  readonly className: unknown;
  readonly config: Node;
}

/** The converter of Keras puts a model below `model_config`. */
function rootOf(topology: Topology): Node {
  return isNode(topology['model_config']) ? topology['model_config'] : topology;
}

/** The layer that gives the output of a model, in models within models too. What is malformed has no activation. */
function outputLayer(node: Node): LayerNode {
  const { class_name: className, config } = node;
  // Keras before 2.2.3 wrote a sequential model's layers without a config around them.
  const layers = Array.isArray(config) ? config : isNode(config) ? config['layers'] : undefined;
  if (!Array.isArray(layers)) return { node, className, config: isNode(config) ? config : {} };
  const nodes = layers.filter(isNode);
  const outputs = isNode(config) ? config['output_layers'] : undefined;
  const named = Array.isArray(outputs) ? nodes.find((layer) => nameOf(layer) === nameAt(outputs)) : nodes.at(-1);
  return named === undefined ? { node, className, config: {} } : outputLayer(named);
}

function nameOf({ name, config }: Node): unknown {
  return name ?? (isNode(config) ? config['name'] : undefined);
}

/** `[['dense', 0, 0]]`, or `['dense', 0, 0]` for one output. */
function nameAt(outputs: readonly unknown[]): unknown {
  const [first] = outputs;
  return Array.isArray(first) ? (first as readonly unknown[])[0] : first;
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
