// The JupyterLab extension: connects documents, provider, status and the connection to the server extension.
import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IEditorLanguageRegistry } from '@jupyterlab/codemirror';
import { ICompletionProviderManager } from '@jupyterlab/completer';
import { IEditorTracker } from '@jupyterlab/fileeditor';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IStatusBar } from '@jupyterlab/statusbar';
import { Connection } from './connection';
import { Documents } from './documents';
import { StarCoderProvider } from './provider';
import { StatusItem } from './status';

const ACCEPT_COMMAND = 'inline-completer:accept';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'starcoder-jupyterlab:plugin',
  description: 'Ghost text by a StarCoder model on your own machine, through starcoder-ls.',
  autoStart: true,
  requires: [ICompletionProviderManager],
  optional: [INotebookTracker, IEditorTracker, IEditorLanguageRegistry, IStatusBar],
  activate: (
    app: JupyterFrontEnd,
    completions: ICompletionProviderManager,
    notebooks: INotebookTracker | null,
    files: IEditorTracker | null,
    languages: IEditorLanguageRegistry | null,
    statusBar: IStatusBar | null,
  ) => {
    const connection = new Connection(app.serviceManager.serverSettings);
    const documents = new Documents((message) => connection.send(message), notebooks, files, languages);
    const provider = new StarCoderProvider(documents, (message) => connection.send(message));
    const status = new StatusItem();
    statusBar?.registerStatusItem('starcoder:status', { item: status, align: 'right' });

    let isEnabled = false; // until the settings are loaded
    const connect = () => {
      if (isEnabled && !documents.isEmpty) {
        connection.open();
      }
    };
    provider.onEnabled = (value) => {
      isEnabled = value;
      if (isEnabled) {
        connect();
      } else {
        connection.close();
      }
    };
    documents.onReady = connect;
    documents.onChange = () => provider.onChange();
    connection.onOpen = () => documents.sendAll();
    connection.onClose = () => {
      provider.cancel();
      status.clear();
    };
    connection.onAnswer = (answer) => {
      switch (answer.type) {
        case 'status': return status.showStatus(answer);
        case 'notice': return status.notify(answer.severity, answer.text);
        case 'items': return provider.answer(answer.request, answer.items);
      }
    };
    app.commands.commandExecuted.connect((_, { id }) => {
      if (id === ACCEPT_COMMAND) {
        provider.onAccepted();
      }
    });
    completions.registerInlineProvider(provider);
  },
};

export default plugin;
