// The entry point of the extension: maps commands to their implementations. The extension starts the server, passes settings,
// shows status and offers commands; VS Code itself requests and draws ghost text through textDocument/inlineCompletion.
import * as vscode from 'vscode';
import { Actions } from './actions';
import { chooseAdapter } from './adapters';
import { EditPreview } from './editPreview';
import { withErrorMessage } from './errors';
import { ActionArgument, Explanation } from './explanation';
import { chooseModel } from './model';
import { suggestWhenLoaded } from './loadedSuggestion';
import { NextEdits } from './nextEdit';
import { PromptPreview } from './prompt';
import { Server } from './server';
import { showMenu } from './menu';
import { showLatency, StatusItem, togglePause, togglePauseLanguage } from './status';

let server: Server | undefined;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const declared: { properties: Record<string, unknown> }[] = context.extension.packageJSON.contributes.configuration;
  const keys = declared.flatMap((group) => Object.keys(group.properties));
  const intercepted = new Map<string, (...args: any[]) => unknown>();
  const running = new Server(keys, intercepted);
  server = running;
  const help = vscode.Uri.joinPath(context.extensionUri, 'readme.md');
  const explanation = new Explanation(running);
  const editPreview = new EditPreview();
  const actions = new Actions(running, explanation, editPreview);
  const preview = new PromptPreview(running);
  const nextEdits = new NextEdits(running);
  intercepted.set('starcoder.act', withErrorMessage((argument: ActionArgument) => actions.applyEdit(argument)));
  intercepted.set('starcoder.explain', withErrorMessage((argument: ActionArgument) => actions.showExplanation(argument)));

  const commands: Record<string, (...args: any[]) => unknown> = {
    'starcoder.instruct': (argument: ActionArgument, command: string) => actions.instruct(argument, command),
    'starcoder.explainCode': () => actions.explain('explain', 'Explain'),
    'starcoder.writeTests': () => actions.explain('test', 'Tests'),
    'starcoder.askQuestion': () => actions.explain('ask', 'Answer', 'Your question'),
    'starcoder.writeDocstring': () => actions.edit('document'),
    'starcoder.fixCode': () => actions.edit('fix'),
    'starcoder.simplifyCode': () => actions.edit('simplify'),
    'starcoder.rewriteCode': () => actions.edit('rewrite', 'What should be changed?'),
    'starcoder.applyChange': () => editPreview.decide(true),
    'starcoder.discardChange': () => editPreview.decide(false),
    'starcoder.acceptNextEdit': () => nextEdits.accept(),
    'starcoder.dismissNextEdit': () => nextEdits.dismiss(),
    'starcoder.showPrompt': () => preview.show(),
    'starcoder.menu': () => showMenu(running),
    'starcoder.pause': togglePause,
    'starcoder.pauseLanguage': togglePauseLanguage,
    'starcoder.chooseAdapter': () => chooseAdapter(running),
    'starcoder.chooseModel': () => chooseModel(running),
    'starcoder.openSettings': () => vscode.commands.executeCommand('workbench.action.openSettings', '@ext:starcoder-ls.starcoder-ls'),
    'starcoder.setCommand': () => vscode.commands.executeCommand('workbench.action.openSettings', 'starcoder.server.command'),
    'starcoder.showInstallation': () => vscode.commands.executeCommand('markdown.showPreview', help),
    'starcoder.showLatency': () => showLatency(running),
    'starcoder.openSettingsFile': () => running.openSettingsFile(),
    'starcoder.restart': () => running.restart(),
    'starcoder.showLog': () => running.log.show(),
  };
  for (const [name, run] of Object.entries(commands)) {
    context.subscriptions.push(vscode.commands.registerCommand(name, withErrorMessage(run)));
  }
  context.subscriptions.push(
    preview.register(),
    editPreview.register(),
    nextEdits.register(),
    suggestWhenLoaded(running),
    vscode.workspace.onDidChangeConfiguration((event) => void running.onConfigurationChange(event)),
    vscode.workspace.onDidGrantWorkspaceTrust(() => void (running.state.kind === 'missing' && running.restart())),
  );
  new StatusItem(running).register(context.subscriptions);
  await running.restart();
}

export async function deactivate(): Promise<void> {
  await server?.stop();
}
