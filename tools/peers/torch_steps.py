"""Training steps in PyTorch, the peer of `polder bench`: the same networks, optimizer and SAM, written for speed.

usage: python3 torch_steps.py MODEL BATCH THREADS   (MODEL: resnet20, resnet18 or vit)
Prints one JSON line about itself, then answers every line "POLICY LAYOUT STEPS" on stdin with a JSON list of the
milliseconds of each step. bench-peers.mjs runs it in turn with Polder's steps.
"""

import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

LEARNING_RATE, MOMENTUM, WEIGHT_DECAY, RHO = 0.01, 0.9, 5e-4, 0.05


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut: a projection where the shape changes."""

    def __init__(self, channels_in, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut = None
        if stride != 1 or channels_in != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        y = self.norm2(self.conv2(y))
        y += x if self.shortcut is None else self.shortcut(x)
        return F.relu(y, inplace=True)


class ResNet(nn.Module):
    """ResNets for 32x32 images: stages of `blocks` blocks each, a 3x3 stem."""

    def __init__(self, widths, blocks, classes=10):
        super().__init__()
        self.conv = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.norm = nn.BatchNorm2d(widths[0])
        layers, channels = [], widths[0]
        for stage, width in enumerate(widths):
            for i in range(blocks):
                layers.append(Block(channels, width, 2 if stage > 0 and i == 0 else 1))
                channels = width
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(channels, classes)

    def forward(self, x):
        x = self.layers(F.relu(self.norm(self.conv(x)), inplace=True))
        return self.head(x.mean((2, 3)))


class Encoder(nn.Module):
    """A pre-norm transformer block with the fused attention of PyTorch and exact GELU."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        n, tokens, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(n, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, tokens, width)
        x = x + self.proj(y)
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class Vit(nn.Module):
    """A vision transformer without a class token: 4x4 patches, mean of the tokens."""

    def __init__(self, width=192, depth=6, heads=3, patch=4, classes=10):
        super().__init__()
        self.embed = nn.Conv2d(3, width, patch, patch)
        self.position = nn.Parameter(torch.randn(1, (32 // patch) ** 2, width) * 0.02)
        self.blocks = nn.Sequential(*(Encoder(width, heads) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, x):
        tokens = self.embed(x).flatten(2).transpose(1, 2) + self.position
        return self.head(self.norm(self.blocks(tokens)).mean(1))


MODELS = {
    "resnet20": lambda: ResNet([16, 32, 64], 3),
    "resnet18": lambda: ResNet([64, 128, 256, 512], 2),
    "vit": Vit,
}


def step_of(model, images, labels, policy):
    """A function that takes one training step and returns its loss as a number."""
    parameters = list(model.parameters())
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    options = dict(lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    try:
        optimizer = torch.optim.SGD(parameters, fused=True, **options)
    except RuntimeError:  # PyTorch before 2.4 fuses on GPUs only
        optimizer = torch.optim.SGD(parameters, foreach=True, **options)

    def forward_backward():
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        return loss

    def sgd():
        loss = forward_backward()
        optimizer.step()
        return loss.item()

    def sam():
        loss = forward_backward()
        gradients = [p.grad for p in parameters]
        with torch.no_grad():
            length = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
            ascent = torch._foreach_mul(gradients, RHO / (length + 1e-12))
            torch._foreach_add_(parameters, ascent)
        # The second pass leaves the moving statistics as they are.
        for norm in norms:
            norm.momentum = 0.0
        forward_backward()
        for norm in norms:
            norm.momentum = 0.1
        with torch.no_grad():
            torch._foreach_sub_(parameters, ascent)
        optimizer.step()
        return loss.item()

    return {"none": sgd, "sam": sam}[policy]


def main():
    name, batch, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    images, labels = torch.randn(batch, 3, 32, 32), torch.randint(0, 10, (batch,))
    # Layouts make no difference to a transformer.
    layouts = ["contiguous"] if name == "vit" else ["contiguous", "channels-last"]
    steps = {}
    for layout in layouts:
        memory = torch.channels_last if layout == "channels-last" else torch.contiguous_format
        for policy in ("none", "sam"):
            model = MODELS[name]().train().to(memory_format=memory)
            steps[policy, layout] = step_of(model, images.contiguous(memory_format=memory), labels, policy)
            parameters = sum(p.numel() for p in model.parameters())
    for step in steps.values():
        for _ in range(3):
            step()
    about = {"torch": torch.__version__, "threads": torch.get_num_threads(), "parameters": parameters, "layouts": layouts}
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        policy, layout, count = line.split()
        step, times = steps[policy, layout], []
        for _ in range(int(count)):
            start = time.perf_counter()
            step()
            times.append((time.perf_counter() - start) * 1e3)
        print(json.dumps(times), flush=True)


if __name__ == "__main__":
    main()
