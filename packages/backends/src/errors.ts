/** A backend that cannot be started here. The message says why and what to do. */
export class BackendUnavailableError extends Error {
  override readonly name = 'BackendUnavailableError';
  readonly backend: string;
  /** Why it cannot be started: a phrase without the full stop. */
  readonly why: string;
  readonly whatToDo: string;

  constructor(backend: string, why: string, whatToDo: string, options?: ErrorOptions) {
    super(`Backend "${backend}" is not available: ${why}. ${whatToDo}`, options);
    this.backend = backend;
    this.why = why;
    this.whatToDo = whatToDo;
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
