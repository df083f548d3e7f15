// The side panel that shows the model's text while it is generated.
// The text is rendered without HTML, links and images: the model's output never becomes markup or script.
import MarkdownIt from 'markdown-it';
import { randomBytes } from 'node:crypto';
import * as vscode from 'vscode';
import { CancellationTokenSource, ProgressType, Range } from 'vscode-languageclient/node';
import { errorMessage, withErrorMessage } from './errors';
import { Server } from './server';
import { TrackedLine } from './trackedLine';

export interface ActionArgument { action: string; uri: string; range: Range; version?: number; instruction?: string; diagnostics?: string[] }

interface ExplainResult { text: string; isComplete: boolean }

const PROGRESS = new ProgressType<{ text: string }>();
const markdown = new MarkdownIt({ html: false, linkify: false }).disable(['image', 'link', 'autolink', 'html_inline', 'html_block', 'reference']);

export class Explanation {
  private panel: vscode.WebviewPanel | undefined;
  private running: CancellationTokenSource | undefined;
  private text = '';
  private heading = '';
  private source: { uri: vscode.Uri; range: vscode.Range; first: TrackedLine } | undefined;
  private count = 0;

  constructor(private readonly server: Server) {}

  /** Request an explanation and show it while it arrives. A newer request cancels the previous one. */
  async run(argument: ActionArgument, title: string): Promise<void> {
    this.running?.cancel();
    const cancellation = new CancellationTokenSource();
    this.running = cancellation;
    const client = this.server.running;
    const { protocol2CodeConverter: converter } = client;
    const [uri, range] = [converter.asUri(argument.uri), converter.asRange(argument.range)];
    this.source?.first.dispose();
    this.source = { uri, range, first: new TrackedLine(uri, range.start.line) };
    this.open(title);
    this.show('', 'running');
    this.count += 1;
    const token = `starcoder-explanation-${this.count}`;
    const subscription = client.onProgress(PROGRESS, token, ({ text }) => {
      if (this.running === cancellation) {
        this.show(text, 'running');
      }
    });
    try {
      const result = await this.server.execute<ExplainResult | null>('starcoder.explain', { ...argument, token }, cancellation.token);
      if (this.running === cancellation) {
        this.show(result?.text ?? this.text, result ? 'done' : 'stopped');
      }
    } catch (error) {
      if (this.running === cancellation) {
        this.show(cancellation.token.isCancellationRequested ? this.text : '', 'stopped', cancellation.token.isCancellationRequested ? '' : errorMessage(error));
      }
    } finally {
      subscription.dispose();
      if (this.running === cancellation) {
        this.running = undefined;
      }
      cancellation.dispose();
    }
  }

  private open(title: string): void {
    this.heading = title;
    if (!this.panel) {
      const options = { enableScripts: true, localResourceRoots: [] };
      this.panel = vscode.window.createWebviewPanel('starcoder.explanation', title, { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true }, options);
      this.panel.webview.html = page();
      this.panel.webview.onDidReceiveMessage(withErrorMessage((message: { command?: string }) => this.runCommand(message.command)));
      this.panel.onDidDispose(() => {
        this.panel = undefined;
        this.running?.cancel();
        this.running = undefined;
        this.source?.first.dispose();
        this.source = undefined;
      });
    }
    this.panel.title = `StarCoder: ${title}`;
    this.panel.reveal(undefined, true);
  }

  private state: { title: string; subtitle: string; html: string; state: string; problem: string } = { title: '', subtitle: '', html: '', state: 'running', problem: '' };

  private show(text: string, state: 'running' | 'done' | 'stopped', problem = ''): void {
    this.text = text;
    this.state = { title: this.heading, subtitle: this.subtitle(), html: markdown.render(text), state, problem };
    void this.panel?.webview.postMessage(this.state);
  }

  /** Which code the answer is about. */
  private subtitle(): string {
    const { uri, range } = this.source ?? {};
    if (!uri || !range) {
      return '';
    }
    const [first, last] = [range.start.line + 1, range.end.line + 1];
    return `${uri.path.split('/').pop()}, ${first < last ? `lines ${first}–${last}` : `line ${first}`}`;
  }

  private async runCommand(command: string | undefined): Promise<void> {
    switch (command) {
      case 'ready': await this.panel?.webview.postMessage(this.state); break;
      case 'stop': this.running?.cancel(); break;
      case 'copy': await vscode.env.clipboard.writeText(this.text); break;
      case 'insert': await this.insertAsComment(); break;
    }
  }

  /** Insert the text above the explained code; VS Code's own command turns it into a comment of the language. */
  private async insertAsComment(): Promise<void> {
    if (!this.source || !this.text) {
      return;
    }
    const document = await vscode.workspace.openTextDocument(this.source.uri);
    const visible = vscode.window.visibleTextEditors.find((editor) => editor.document === document);
    const editor = await vscode.window.showTextDocument(document, { viewColumn: visible?.viewColumn, preserveFocus: false });
    const line = Math.min(this.source.first.line, document.lineCount - 1);
    const indentation = /^\s*/.exec(document.lineAt(line).text)?.[0] ?? '';
    const lines = this.text.trim().split('\n').map((textLine) => `${indentation}${textLine}`.trimEnd());
    const isInserted = await editor.edit((edit) => edit.insert(new vscode.Position(line, 0), `${lines.join('\n')}\n`));
    if (!isInserted) {
      throw new Error(`VS Code could not insert the comment into ${document.fileName}.`);
    }
    editor.selection = new vscode.Selection(line, 0, line + lines.length - 1, (lines.at(-1) ?? '').length);
    await vscode.commands.executeCommand('editor.action.addCommentLine');
  }
}

/** The page of the panel: it loads no resources and runs only the script with its nonce. */
function page(): string {
  const nonce = randomBytes(16).toString('base64');
  return `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'nonce-${nonce}'; script-src 'nonce-${nonce}'">
<style nonce="${nonce}">
  body { font-size: var(--vscode-font-size); line-height: 1.5; padding: 0 1.2em 1.2em; }
  pre { background: var(--vscode-textCodeBlock-background); padding: 0.7em; overflow-x: auto; }
  code { font-family: var(--vscode-editor-font-family); }
  pre code { background: none; padding: 0; }
  blockquote { border-left: 3px solid var(--vscode-textBlockQuote-border); margin-left: 0; padding-left: 1em; }
  header { position: sticky; top: 0; padding: 0.9em 0 0.5em; background: var(--vscode-editor-background); border-bottom: 1px solid var(--vscode-widget-border, transparent); display: flex; flex-wrap: wrap; column-gap: 1em; align-items: baseline; }
  h1 { font-size: 1.25em; font-weight: 600; margin: 0; }
  #subtitle, #state { color: var(--vscode-descriptionForeground); }
  nav { margin-left: auto; display: flex; gap: 0.2em; align-items: center; }
  button { color: var(--vscode-textLink-foreground); background: transparent; border: 0; border-radius: 4px; padding: 0.2em 0.6em; font: inherit; cursor: pointer; }
  button:hover { background: var(--vscode-toolbar-hoverBackground); }
  button:focus-visible { outline: 1px solid var(--vscode-focusBorder); }
  button[hidden] { display: none; }
  #problem { color: var(--vscode-errorForeground); }
</style></head>
<body>
<header><h1 id="title"></h1><span id="subtitle"></span><span id="state" role="status"></span>
<nav><button id="stop">Stop</button><button id="copy">Copy</button><button id="insert">Insert as comment</button></nav></header>
<main id="text" aria-live="polite"></main><p id="problem" role="alert"></p>
<script nonce="${nonce}">
  const vscode = acquireVsCodeApi();
  const element = (id) => document.getElementById(id);
  for (const id of ['stop', 'copy', 'insert']) element(id).addEventListener('click', () => vscode.postMessage({ command: id }));
  window.addEventListener('message', ({ data }) => {
    element('text').innerHTML = data.html;
    element('title').textContent = data.title;
    element('subtitle').textContent = data.subtitle;
    element('problem').textContent = data.problem;
    element('state').textContent = data.state === 'running' ? 'writing …' : data.state === 'stopped' ? 'stopped' : '';
    element('stop').hidden = data.state !== 'running';
    element('copy').hidden = element('insert').hidden = !data.html;
  });
  vscode.postMessage({ command: 'ready' });
</script></body></html>`;
}
