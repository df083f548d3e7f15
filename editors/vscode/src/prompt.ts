// Shows the prompt at the cursor as a read-only document.
import * as vscode from 'vscode';
import { Server } from './server';

interface Prompt {
  model: string; adapter: string | null; family: string; order: string; opening: string; tokens: number; isWanted: boolean;
  parts: { text: string; isSpecial: boolean; tokens: number }[];
  budget: { promptTokens: number; maxNewTokens: number; contextTokens: number };
}

const SCHEME = 'starcoder-prompt';

export class PromptPreview implements vscode.TextDocumentContentProvider {
  private text = '';
  private readonly changed = new vscode.EventEmitter<vscode.Uri>();
  readonly onDidChange = this.changed.event;
  private readonly uri = vscode.Uri.parse(`${SCHEME}:What the model sees.txt`);

  constructor(private readonly server: Server) {}

  register(): vscode.Disposable {
    return vscode.workspace.registerTextDocumentContentProvider(SCHEME, this);
  }

  provideTextDocumentContent(): string {
    return this.text;
  }

  async show(): Promise<void> {
    const editor = vscode.window.activeTextEditor;
    if (!editor || editor.document.uri.scheme === SCHEME) {
      void vscode.window.showInformationMessage('StarCoder: open a file and place the cursor where you want a suggestion.');
      return;
    }
    const converter = this.server.running.code2ProtocolConverter;
    const params = { textDocument: { uri: converter.asUri(editor.document.uri) }, position: converter.asPosition(editor.selection.active) };
    this.text = formatPrompt(await this.server.running.sendRequest<Prompt>('starcoder/prompt', params));
    this.changed.fire(this.uri);
    const document = await vscode.workspace.openTextDocument(this.uri);
    await vscode.window.showTextDocument(document, { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true, preview: true });
  }
}

function formatPrompt(prompt: Prompt): string {
  const { promptTokens, maxNewTokens, contextTokens } = prompt.budget;
  const header = [
    `model      ${prompt.model}${prompt.adapter ? ` with ${prompt.adapter}` : ''}`,
    `layout     ${prompt.family}, ${prompt.order.toUpperCase()}`,
    `budget     ${prompt.tokens} of ${promptTokens} tokens of this document (inline_completion.prompt_tokens)`,
    `           + at most ${maxNewTokens} new ones (inline_completion.max_new_tokens), in a context of ${contextTokens}`,
    ...(prompt.isWanted ? [] : ['           Suggestions are disabled for this document.']),
    ...(prompt.opening ? [`opening    ${JSON.stringify(prompt.opening)}: what the answer must begin with`] : []),
  ];
  const body = prompt.parts.map((part) => (part.isSpecial ? `\n──── ${part.text}` : `     ${part.tokens} tokens\n${part.text}`));
  return `${header.join('\n')}\n${body.join('\n')}\n`;
}
