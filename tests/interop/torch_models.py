"""Whole architectures in PyTorch, small, as one writes them."""

import pytest

torch = pytest.importorskip("torch")  # doctests are looked for in every module
nn, F = torch.nn, torch.nn.functional


class Residual(nn.Module):
    """Two convolutions beside a road (He et al. 2016)."""

    def __init__(self, a, b, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(a, b, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(b)
        self.conv2 = nn.Conv2d(b, b, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(b)
        self.down = nn.Sequential()
        if stride != 1 or a != b:
            self.down = nn.Sequential(
                nn.Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b)
            )

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = self.bn2(self.conv2(y))
        y += self.down(x)
        return F.relu(y)


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.layers = nn.Sequential(Residual(4, 4, 1), Residual(4, 6, 2))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        x = F.max_pool2d(self.stem(x), 3, 2, 1)
        return self.head(torch.flatten(self.pool(self.layers(x)), 1))


class ViT(nn.Module):
    """A vision transformer (Dosovitskiy et al. 2021)."""

    def __init__(self, width=8, patch=4, size=8):
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.token = nn.Parameter(torch.randn(1, 1, width))
        self.places = nn.Parameter(torch.randn(1, (size // patch) ** 2 + 1, width))
        layer = nn.TransformerEncoderLayer(
            width, 2, 16, activation="gelu", batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 3)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1) + self.places
        return self.head(self.norm(self.blocks(x))[:, 0])


class Block(nn.Module):
    def __init__(self, width, heads, length):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        mask = torch.tril(torch.ones(length, length)).view(1, 1, length, length)
        self.register_buffer("mask", mask)

    def attend(self, x):
        B, T, C = x.size()
        q, k, v = (
            t.view(B, T, self.heads, C // self.heads).transpose(1, 2)
            for t in self.qkv(x).split(C, dim=2)
        )
        scores = (q @ k.transpose(-2, -1)) / (C // self.heads) ** 0.5
        scores = scores.masked_fill(self.mask[:, :, :T, :T] == 0, float("-inf"))
        y = F.softmax(scores, dim=-1) @ v
        return self.out(y.transpose(1, 2).contiguous().view(B, T, C))

    def forward(self, x):
        x = x + self.attend(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    """A causal transformer with tied embeddings; returns logits and loss."""

    def __init__(self, tokens=11, width=8, length=6):
        super().__init__()
        self.tokens = nn.Embedding(tokens, width)
        self.places = nn.Embedding(length, width)
        self.blocks = nn.ModuleList([Block(width, 2, length) for _ in range(1)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, tokens, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, ids, targets):
        x = self.tokens(ids) + self.places(torch.arange(ids.size(1)))
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.norm(x))
        loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
        return {"logits": logits, "loss": loss}


class UNet(nn.Module):
    """Down, up, and across (Ronneberger et al. 2015)."""

    def __init__(self):
        super().__init__()
        self.down1 = self.twice(2, 3)
        self.down2 = self.twice(3, 4)
        self.middle = self.twice(4, 5)
        self.up2, self.left2 = nn.ConvTranspose2d(5, 4, 2, 2), self.twice(8, 4)
        self.up1, self.left1 = nn.Upsample(scale_factor=2), self.twice(7, 3)
        self.out = nn.Conv2d(3, 1, 1)

    @staticmethod
    def twice(a, b):
        return nn.Sequential(
            nn.Conv2d(a, b, 3, padding=1), nn.GroupNorm(1, b), nn.SiLU(),
            nn.Conv2d(b, b, 3, padding=1), nn.LeakyReLU(0.1),
        )  # fmt: skip

    def forward(self, x):
        a = self.down1(x)
        b = self.down2(F.max_pool2d(a, 2))
        y = self.middle(F.avg_pool2d(b, 2))
        y = self.left2(torch.cat([self.up2(y), b], 1))
        y = self.left1(torch.cat([self.up1(y), a], 1))
        return torch.sigmoid(self.out(y))


class Sentences(nn.Module):
    """A classifier of sequences by a bidirectional LSTM of two layers."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(9, 4, padding_idx=0)
        self.lstm = nn.LSTM(4, 3, 2, batch_first=True, bidirectional=True, dropout=0.1)
        self.head = nn.Linear(6, 2)

    def forward(self, ids):
        ys, (h, _) = self.lstm(self.words(ids))
        both = torch.cat([h[-2], h[-1]], dim=1)
        return self.head(both + ys.max(dim=1).values)


def architectures():
    """Return each with its arguments."""
    ids = torch.tensor([[1, 2, 3, 4, 0, 5], [2, 2, 10, 1, 7, 6]])
    images = torch.randn(2, 3, 8, 8)
    return {
        "resnet": (ResNet().eval(), images),
        "vit": (ViT().eval(), images),
        "gpt": (GPT(), ids, ids.roll(-1, 1)),
        "unet": (UNet(), torch.randn(2, 2, 8, 8)),
        "lstm": (Sentences().eval(), ids.clamp(max=8)),
    }
