// Errors as messages to the user.
import * as vscode from 'vscode';

export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** `run`, with errors shown to the user as one message. */
export function withErrorMessage<P extends unknown[]>(run: (...args: P) => unknown): (...args: P) => Promise<void> {
  return async (...args) => {
    try {
      await run(...args);
    } catch (error) {
      void vscode.window.showErrorMessage(`StarCoder: ${errorMessage(error)}`);
    }
  };
}
