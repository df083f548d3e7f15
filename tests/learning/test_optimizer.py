import pytest
import torch
from torch import nn

from starcoder_ls.learning.optimizer import Optimizer, Schedule, is_block_matrix


def test_learning_rate_warms_up_stays_and_decays_to_zero() -> None:
    schedule = Schedule(warmup=100, decay_share=0.4)
    assert schedule.factor(0, 0.0) == pytest.approx(0.01)
    assert schedule.factor(100, 0.1) == schedule.factor(600, 0.6) == 1.0
    assert schedule.factor(800, 0.8) == pytest.approx(0.5)
    assert schedule.factor(1000, 1.0) == 0.0
    assert schedule.factor(9, 0.9) == pytest.approx(0.1), "a slow machine decays before it has warmed up"
    assert Schedule(warmup=0, decay_share=0.0).factor(5, 0.99) == 1.0


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.transformer = nn.ModuleDict({"wte": nn.Embedding(8, 4), "h": nn.ModuleList([nn.Linear(4, 4)])})

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        block: nn.Linear = self.transformer["h"][0]  # type: ignore[index]
        return block(self.transformer["wte"](ids))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("name", "is_matrix"),
    [
        ("transformer.h.0.attn.c_attn.weight", True),
        ("model.layers.11.mlp.gate_proj.weight", True),
        ("transformer.h.0.attn.c_attn.lora_A.resident.weight", False),
        ("transformer.h.0.attn.c_attn.adapter_down.resident.weight", False),
        ("transformer.wte.weight", False),
    ],
)
def test_only_matrices_of_the_base_go_to_muon(name: str, is_matrix: bool) -> None:
    assert is_block_matrix(name, torch.zeros(4, 4)) is is_matrix
    assert not is_block_matrix(name, torch.zeros(4))


@pytest.mark.parametrize("matrix_learning_rate", [0.02, 0.0], ids=["muon", "adamw"])
def test_restored_optimizer_continues_as_without_interruption(matrix_learning_rate: float) -> None:
    def train(is_interrupted: bool) -> torch.Tensor:
        net = Net()
        optimizer = Optimizer(net.named_parameters(), matrix_learning_rate, 1e-2, 0.01)
        for step in range(6):
            if is_interrupted and step == 3:
                state, weights = optimizer.state_dicts(), {k: v.clone() for k, v in net.state_dict().items()}
                net = Net()
                net.load_state_dict(weights)
                optimizer = Optimizer(net.named_parameters(), matrix_learning_rate, 1e-2, 0.01)
                optimizer.load_state_dicts(state)
            net(torch.arange(8)).square().sum().backward()
            optimizer.step(0.7)
        return net(torch.arange(8)).detach()  # type: ignore[no-any-return]

    assert torch.equal(train(False), train(True))
