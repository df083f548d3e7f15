// Requests a suggestion for text that was typed before the server could answer: VS Code requests one when the text changes only,
// and never again for text for which no server, or one without a model, had an answer.
import * as vscode from 'vscode';
import { Server, ServerState } from './server';

let isRequesting = false;

/** Request one each time `server` has become ready, if the text of the active editor was changed last before that. */
export function suggestWhenLoaded(server: Server): vscode.Disposable {
  const typedBefore = vscode.window.activeTextEditor?.document; // before VS Code started the extension
  let unanswered = typedBefore && typedBefore.version > 1 ? { document: typedBefore, version: typedBefore.version } : undefined;
  return vscode.Disposable.from(
    vscode.workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
      if (contentChanges.length > 0) {
        unanswered = isLoaded(server.state) ? undefined : { document, version: document.version };
      }
    }),
    server.onDidChange((state) => {
      if (unanswered && isLoaded(state)) {
        const { document, version } = unanswered;
        unanswered = undefined;
        if (vscode.window.activeTextEditor?.document === document && document.version === version) {
          void requestSuggestion();
        }
      }
    }),
  );
}

/** The context to send for a request: what this module requests counts as typing, not as invoked by the user. */
export function sentContext(context: vscode.InlineCompletionContext): vscode.InlineCompletionContext {
  return isRequesting ? { ...context, triggerKind: vscode.InlineCompletionTriggerKind.Automatic } : context;
}

/** The command without an argument, because VS Code ignores `explicit: false` where it has requested a suggestion already. */
async function requestSuggestion(): Promise<void> {
  isRequesting = true;
  await vscode.commands.executeCommand('editor.action.inlineSuggest.trigger').then(undefined, () => undefined);
  isRequesting = false;
}

function isLoaded(state: ServerState): boolean {
  return state.kind === 'running' && (state.status.phase === 'ready' || state.status.phase === 'working');
}
