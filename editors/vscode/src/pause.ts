// Pauses suggestions in states that only the editor knows: an open completion menu, selected text.
import * as vscode from 'vscode';
import { Middleware } from 'vscode-languageclient/node';
import { sentContext } from './loadedSuggestion';

export const provideInlineCompletionItems: Middleware['provideInlineCompletionItems'] = (document, position, requested, token, next) => {
  const context = sentContext(requested);
  return isPaused(document, context) ? undefined : next(document, position, context, token);
};

/** Whether the setting `pause_while` applies; what the user requests is never paused. */
function isPaused(document: vscode.TextDocument, context: vscode.InlineCompletionContext): boolean {
  if (context.triggerKind === vscode.InlineCompletionTriggerKind.Invoke) {
    return false;
  }
  const states = vscode.workspace.getConfiguration('starcoder.inline_completion').get<string[]>('pause_while', []);
  const editor = vscode.window.activeTextEditor;
  const isSelecting = editor?.document === document && editor.selections.some((selection) => !selection.isEmpty);
  return (states.includes('menu') && context.selectedCompletionInfo !== undefined) || (states.includes('selection') && isSelecting);
}
