// Code actions: finds the action for the selection, asks the user for an instruction, shows or applies the server's result.
import * as vscode from 'vscode';
import { CodeAction, CodeActionTriggerKind, TextDocumentEdit } from 'vscode-languageclient/node';
import { EditPreview } from './editPreview';
import { ActionArgument, Explanation } from './explanation';
import { Server } from './server';

export class Actions {
  constructor(private readonly server: Server, private readonly explanation: Explanation, private readonly preview: EditPreview) {}

  /** Run an action that answers with text; `question` is the prompt for the user's instruction, if it needs one. */
  async explain(action: string, title: string, question?: string): Promise<void> {
    const argument = await this.findArgument(action);
    const instruction = question === undefined || !argument ? undefined : await askUser(question);
    if (argument && (question === undefined || instruction)) {
      await this.explanation.run({ ...argument, ...(instruction ? { instruction } : {}) }, title);
    }
  }

  /** Run an action that edits the document; `question` is the prompt for the user's instruction, if it needs one. */
  async edit(action: string, question?: string): Promise<void> {
    const argument = await this.findArgument(action);
    const instruction = question === undefined || !argument ? undefined : await askUser(question);
    if (argument && (question === undefined || instruction)) {
      await this.applyEdit({ ...argument, ...(instruction ? { instruction } : {}) });
    }
  }

  /** The client command `starcoder.instruct`: asks the user for an instruction, adds it to `argument` and runs `command`. */
  async instruct(argument: ActionArgument, command: string): Promise<void> {
    const instruction = await askUser(argument.action === 'ask' ? 'Your question' : 'What should be changed?');
    if (!instruction) {
      return;
    }
    const instructed = { ...argument, instruction };
    await (command === 'starcoder.explain' ? this.explanation.run(instructed, titleOf(argument.action)) : this.applyEdit(instructed));
  }

  /** Replaces the server's command `starcoder.explain`, so that every answer is shown in the panel. */
  async showExplanation(argument: ActionArgument): Promise<void> {
    await this.explanation.run(argument, titleOf(argument.action));
  }

  /** Resolve the edit of an action, show what it would change, and apply it if the user agrees. The server reports progress. */
  async applyEdit(argument: ActionArgument): Promise<void> {
    const client = this.server.running;
    const resolved = await client.sendRequest<CodeAction>('codeAction/resolve', { title: argument.action, data: argument });
    const [change] = (resolved.edit?.documentChanges ?? []).filter(TextDocumentEdit.is);
    if (change) {
      const annotations = Object.values(resolved.edit?.changeAnnotations ?? {});
      const isConfirmed = !annotations.some((annotation) => annotation.needsConfirmation);
      const plain = change.edits.map(({ range, ...edit }) => ({ range, newText: 'newText' in edit ? edit.newText : '' }));
      const { protocol2CodeConverter: converter } = client;
      await this.preview.apply(converter.asUri(argument.uri), await converter.asTextEdits(plain), titleOf(argument.action), isConfirmed);
    }
  }

  /** The argument of an action on the selection or the enclosing function, as the server offers it with the lines it covers. */
  private async findArgument(action: string): Promise<ActionArgument | undefined> {
    const editor = vscode.window.activeTextEditor;
    if (!editor) {
      void vscode.window.showInformationMessage('StarCoder: open a file and select lines, or place the cursor inside a function.');
      return undefined;
    }
    const client = this.server.running;
    const converter = client.code2ProtocolConverter;
    const [uri, range] = [converter.asUri(editor.document.uri), converter.asRange(editor.selection)];
    const problems = vscode.languages.getDiagnostics(editor.document.uri); // the server takes those in the selection or function
    const codeActions = await client.sendRequest<CodeAction[] | null>('textDocument/codeAction', {
      textDocument: { uri }, range,
      context: {
        diagnostics: await converter.asDiagnostics(problems),
        only: [action === 'fix' ? 'quickfix' : `starcoder.${action}`],
        triggerKind: CodeActionTriggerKind.Invoked,
      },
    });
    const candidates = codeActions?.map((offered) => (offered.data ?? offered.command?.arguments?.[0]) as ActionArgument | undefined);
    // An action that is not offered is requested too: the server answers with the reason why it is unavailable.
    return candidates?.find((candidate) => candidate?.action === action) ?? { action, uri, range, version: editor.document.version };
  }
}

async function askUser(question: string): Promise<string | undefined> {
  return vscode.window.showInputBox({ prompt: question, ignoreFocusOut: true });
}

const TITLES: Record<string, string> = { document: 'Write docstring', test: 'Tests', ask: 'Answer' };

/** The name of an action as a title; a custom action has the name that the user gave it. */
function titleOf(action: string): string {
  return TITLES[action] ?? action.charAt(0).toUpperCase() + action.slice(1);
}
