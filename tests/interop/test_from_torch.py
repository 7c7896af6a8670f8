"""PyTorch modules as graphs: values and gradients against autograd's."""

import sys

import numpy as np
import pytest

import symgrad as sg

NAMES = """
    relu conv1d conv1d_groups conv2d conv2d_same conv2d_dilated conv3d deconv1d
    deconv2d max1d max2d max2d_ceil max3d avg1d avg2d avg3d lppool adaptive1
    adaptive2 adaptive3 adaptive_max batch1d batch2d layer layer2 group instance
    instance_affine rms lrn embedding embedding_bag mha mha_mask encoder
    encoder_first decoder lstm_cell gru_cell rnn_cell bilinear nearest linear_up
    cubic corners shuffle unshuffle channels unfold fold reflect replicate
    circular cosine distance prelu cross_entropy cross_entropy_weight
    cross_entropy_p nll mse l1 smooth_l1 huber bce bce_logits kl poisson
    cosine_loss ranking hinge triplet soft_margin multi_margin
""".split()  # noqa: SIM905  easier to read


@pytest.fixture(scope="module")
def torch():
    found = pytest.importorskip("torch")
    found.manual_seed(0)
    return found


@pytest.fixture(scope="module")
def modules(torch):
    """Return modules with their arguments, by name."""
    nn, r = torch.nn, torch.randn
    ids = torch.tensor([[1, 2, 0], [0, 4, 3]])
    t, signs = torch.tensor([0, 2, 1]), torch.tensor([1, -1, 1])
    a, b, p = r(3, 4), r(3, 4), torch.rand(3, 4)
    image, line, sequence = r(2, 4, 7, 6), r(2, 4, 9), r(2, 5, 8)
    mask = torch.tensor([[False, True, False], [False, False, False]])

    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x, m):
            return self.inner(x, x, x, key_padding_mask=m, need_weights=False)[0]

    encoder, decoder = nn.TransformerEncoderLayer, nn.TransformerDecoderLayer
    norms = nn.BatchNorm1d(4).eval(), nn.BatchNorm2d(4).eval()
    for norm in norms:
        norm.running_mean.normal_()
        norm.running_var.uniform_(1, 2)
    return {
        "relu": (nn.Sequential(nn.Linear(4, 5), nn.ReLU(True), nn.Linear(5, 2)), a),
        "conv1d": (nn.Conv1d(4, 3, 3, 2, 1), line),
        "conv1d_groups": (nn.Conv1d(4, 6, 3, groups=2), line),
        "conv2d": (nn.Conv2d(4, 3, (3, 2), (2, 1), (1, 0)), image),
        "conv2d_same": (nn.Conv2d(4, 3, 4, padding="same"), image),
        "conv2d_dilated": (nn.Conv2d(4, 4, 2, dilation=2, groups=4), image),
        "conv3d": (nn.Conv3d(1, 2, 2), r(2, 1, 3, 4, 3)),
        "deconv1d": (nn.ConvTranspose1d(4, 2, 3, 2), line),
        "deconv2d": (nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2), image),
        "max1d": (nn.MaxPool1d(3, 2, 1), line),
        "max2d": (nn.MaxPool2d(2, dilation=2), image),
        "max2d_ceil": (nn.MaxPool2d(3, 2, 1, ceil_mode=True), image[0]),
        "max3d": (nn.MaxPool3d(2), r(1, 2, 4, 4, 2)),
        "avg1d": (nn.AvgPool1d(2), line),
        "avg2d": (nn.AvgPool2d(3, 2, 1, True, count_include_pad=False), image),
        "avg3d": (nn.AvgPool3d(2, divisor_override=3), r(1, 2, 4, 4, 2)),
        "lppool": (nn.LPPool2d(2, 2), image.abs()),
        "adaptive1": (nn.AdaptiveAvgPool2d(1), image),
        "adaptive2": (nn.AdaptiveAvgPool2d((3, 4)), image),
        "adaptive3": (nn.AdaptiveAvgPool1d(4), line),
        "adaptive_max": (nn.AdaptiveMaxPool2d(3), image),
        "batch1d": (norms[0], a),
        "batch2d": (norms[1], image),
        "layer": (nn.LayerNorm(4), a),
        "layer2": (nn.LayerNorm([7, 6], elementwise_affine=False), image),
        "group": (nn.GroupNorm(2, 4), image),
        "instance": (nn.InstanceNorm1d(4), line),
        "instance_affine": (nn.InstanceNorm2d(4, affine=True), image),
        "rms": (nn.RMSNorm(4), a),
        "lrn": (nn.LocalResponseNorm(3), image),
        "embedding": (nn.Embedding(5, 3, padding_idx=0), ids),
        "embedding_bag": (nn.EmbeddingBag(5, 3, mode="mean"), ids),
        "mha": (nn.MultiheadAttention(8, 2), *[r(3, 2, 8) for _ in range(3)]),
        "mha_mask": (Masked(), r(2, 3, 8), mask),
        "encoder": (encoder(8, 2, 12, batch_first=True).eval(), sequence),
        "encoder_first": (
            encoder(8, 2, 12, 0.0, "gelu", batch_first=True, norm_first=True),
            sequence,
        ),
        "decoder": (decoder(8, 2, 12, batch_first=True).eval(), sequence, r(2, 3, 8)),
        "lstm_cell": (nn.LSTMCell(4, 3), a),
        "gru_cell": (nn.GRUCell(4, 3), a, r(3, 3)),
        "rnn_cell": (nn.RNNCell(4, 3), a),
        "bilinear": (nn.Bilinear(4, 4, 2), a, b),
        "nearest": (nn.Upsample(scale_factor=2), image),
        "linear_up": (nn.Upsample((9, 5), mode="bilinear"), image),
        "cubic": (nn.Upsample(scale_factor=2, mode="bicubic"), image),
        "corners": (nn.Upsample(13, mode="linear", align_corners=True), line),
        "shuffle": (nn.PixelShuffle(2), image),
        "unshuffle": (nn.PixelUnshuffle(2), r(2, 3, 4, 6)),
        "channels": (nn.ChannelShuffle(2), image),
        "unfold": (nn.Unfold((2, 3), padding=1, stride=2), image),
        "fold": (nn.Fold((4, 5), 2), r(2, 8, 12)),
        "reflect": (nn.ReflectionPad2d((1, 2, 0, 1)), image),
        "replicate": (nn.ReplicationPad1d(2), line),
        "circular": (nn.CircularPad1d(2), line),
        "cosine": (nn.CosineSimilarity(), a, b),
        "distance": (nn.PairwiseDistance(), a, b),
        "prelu": (nn.PReLU(4), image),
        "cross_entropy": (nn.CrossEntropyLoss(ignore_index=2), a, t),
        "cross_entropy_weight": (
            nn.CrossEntropyLoss(torch.rand(4), label_smoothing=0.1),
            r(2, 4, 3),
            ids.clamp(max=3),
        ),
        "cross_entropy_p": (nn.CrossEntropyLoss(label_smoothing=0.2), a, p),
        "nll": (nn.NLLLoss(), a, t),
        "mse": (nn.MSELoss(), a, b),
        "l1": (nn.L1Loss(reduction="sum"), a, b),
        "smooth_l1": (nn.SmoothL1Loss(beta=0.5), a, b),
        "huber": (nn.HuberLoss(reduction="none"), a, b),
        "bce": (nn.BCELoss(), p, torch.rand(3, 4)),
        "bce_logits": (nn.BCEWithLogitsLoss(pos_weight=torch.rand(4)), a, p),
        "kl": (nn.KLDivLoss(reduction="batchmean"), a, p),
        "poisson": (nn.PoissonNLLLoss(), a, p),
        "cosine_loss": (nn.CosineEmbeddingLoss(), a, b, signs),
        "ranking": (nn.MarginRankingLoss(0.1), a[:, 0], b[:, 0], signs),
        "hinge": (nn.HingeEmbeddingLoss(), a[:, 0], signs),
        "triplet": (nn.TripletMarginLoss(), a, b, p),
        "soft_margin": (nn.SoftMarginLoss(), a[:, 0], signs),
        "multi_margin": (nn.MultiMarginLoss(), a, t),
    }


@pytest.mark.parametrize("name", NAMES)
def test_modules(modules, name):
    from tests.interop.torch_support import check

    check(*modules[name])


def test_all_modules_are_tested(modules):
    assert sorted(modules) == sorted(NAMES)


def functions(torch):
    """Return functions of a matrix ``[3, 4]``, in groups."""
    F = torch.nn.functional
    where, ids = torch.where, torch.tensor([[0, 2, 1, 1], [2, 2, 0, 1], [1, 0, 0, 2]])
    zeros = torch.zeros(3, 4, dtype=torch.float64)

    def written(x):
        y = x.clone()
        y[:, 1] += 1
        y[0] = 2 * x[1]
        y[:, ::2] *= x[:, 1::2]
        y[x > 0.5] = 0
        return y.mul_(3)

    def put(x):
        return zeros.index_put((ids[0, :3], ids[1, :3]), x[:, 0])

    return {
        "activations": [
            F.relu6, F.elu, F.selu, F.celu, F.gelu, F.silu, F.mish, F.softplus,
            F.softsign, F.tanhshrink, F.softshrink, F.hardshrink, F.hardtanh,
            F.hardswish, F.logsigmoid, F.leaky_relu, F.glu, torch.tanh, torch.sigmoid,
            lambda x: F.gelu(x, approximate="tanh"), lambda x: F.threshold(x, 0.1, 2),
            lambda x: F.softplus(x, 2.0, 1.0), lambda x: F.softmin(x, 1),
            lambda x: F.rrelu(x), lambda x: F.log_softmax(x, 0),
        ],
        "elementwise": [
            torch.exp, torch.sin, torch.erf, torch.atan, torch.expm1, torch.square,
            lambda x: torch.log1p(x.abs()), lambda x: x.abs().rsqrt(),
            lambda x: x.abs().sqrt().reciprocal(), lambda x: x.abs() ** x,
            lambda x: torch.atan2(x, 1 - x), lambda x: torch.remainder(x, 0.7),
            lambda x: torch.fmod(x, 0.7), lambda x: x / (x * x + 1) - 2 * x + 3,
            lambda x: torch.sub(x, x * x, alpha=3), lambda x: 2 - x, lambda x: 2**x,
            lambda x: torch.lerp(x, x * x, 0.3), lambda x: torch.addcmul(x, x, x),
            lambda x: torch.clamp(x, -1, 0.5), lambda x: x.clamp(max=0.1),
            lambda x: torch.maximum(x, -x), lambda x: torch.logaddexp(x, 2 * x),
            lambda x: torch.xlogy(x.abs(), x * x + 1), lambda x: x.detach() * x,
            lambda x: where((x > 0) & ~(x > 1) | (x < -1), x, 0.0),
            lambda x: torch.div(x, 0.3, rounding_mode="trunc") + x.floor() + x.sign(),
        ],
        "reductions": [
            torch.sum, torch.mean, torch.prod, torch.max, lambda x: x.amax((0, 1)),
            lambda x: x.sum(0, keepdim=True), lambda x: x.mean((0, 1)),
            lambda x: x.max(1).values, lambda x: x.min(0, keepdim=True)[0],
            lambda x: x.argmax(1), lambda x: x.argmin(), lambda x: x.std(1),
            lambda x: x.var(0, unbiased=False), lambda x: torch.var_mean(x, 1)[0],
            lambda x: x.norm(), lambda x: x.norm(dim=1, p=3), lambda x: x.norm(1, 0),
            lambda x: torch.linalg.norm(x, dim=0), lambda x: x.logsumexp(1),
            lambda x: x.cumsum(1), lambda x: x.cumprod(0), lambda x: (x > 0).any(1),
            lambda x: (x > -9).all(), lambda x: F.normalize(x, dim=1),
            lambda x: x.topk(2).values, lambda x: x.sort(1, descending=True).values,
            lambda x: x.sort(0).indices, lambda x: x.kthvalue(2)[0],
            lambda x: torch.cdist(x, 2 * x[:2]), lambda x: (x > 0).sum(1),
        ],
        "shapes": [
            torch.ravel, lambda x: x.T, lambda x: x.view(2, -1), lambda x: x[None],
            lambda x: x.expand(2, 3, 4), lambda x: x.repeat(1, 2), lambda x: x.flip(0),
            lambda x: torch.cat([x, x * x], 1), lambda x: torch.stack([x, -x], 1),
            lambda x: x.chunk(2, 1)[1], lambda x: x.split([1, 3], 1)[1],
            lambda x: x.unbind(1)[2], lambda x: torch.roll(x, 1, 1),
            lambda x: torch.roll(x, 5), lambda x: x.tril(-1), lambda x: x.triu(),
            lambda x: x.diagonal(1), lambda x: torch.diag(x[0]),
            lambda x: x.unfold(1, 2, 1), lambda x: F.pad(x, (1, -1), value=2.0),
            lambda x: x.repeat_interleave(2, 1), lambda x: x.movedim(0, 1),
            lambda x: x.unflatten(1, (2, 2)).flatten(1), lambda x: x[:, None].squeeze(),
            lambda x: torch.meshgrid(x[0], x[1], indexing="ij")[0],
            lambda x: x + torch.ones_like(x) + x.new_full((4,), 2),
            lambda x: x * torch.arange(4) + torch.eye(3, 4), lambda x: x.long(),
        ],
        "indexing": [
            written, put, lambda x: x[1:, ::2], lambda x: x[..., -1], lambda x: x[ids],
            lambda x: x[ids[0], ids[1]], lambda x: x[:, ids[0]],
            lambda x: x.gather(1, ids), lambda x: x.gather(0, ids[:2]),
            lambda x: x.index_select(1, ids[0]), lambda x: x.take_along_dim(ids, 1),
            lambda x: zeros.scatter(1, ids.argsort(1), x),
            lambda x: x.scatter(0, ids, 1.5),
            lambda x: zeros.scatter_add(0, ids, x),
            lambda x: zeros.index_add(0, ids[0, :3], x),
            lambda x: x.masked_fill(x > 0, -1e9).softmax(-1),
            lambda x: F.one_hot(ids, 3) * x[..., None],
            lambda x: torch.bucketize(x, torch.tensor([-0.5, 0.5])),
            lambda x: x.slice_scatter(x[:, :2] * 3, 1, 0, 4, 2),
        ],
        "products": [
            lambda x: x @ x.T, lambda x: torch.mm(x, x.mT), lambda x: x.mv(x[0]),
            lambda x: torch.einsum("ij,kj->ik", x, x), lambda x: x[0].outer(x[1]),
            lambda x: torch.bmm(x[None], x.T[None]), lambda x: x[0].dot(x[1]),
            lambda x: torch.addmm(x @ x.T, x, x.T, beta=2, alpha=0.5),
            lambda x: torch.tensordot(x, x, dims=([1], [1])), lambda x: F.linear(x, x),
            lambda x: F.scaled_dot_product_attention(*[x[None, None]] * 3),
            lambda x: F.scaled_dot_product_attention(
                *[x[None, None]] * 3, attn_mask=(x @ x.T)[None, None]),
            lambda x: F.scaled_dot_product_attention(
                *[x[None, None]] * 3, is_causal=True, scale=0.3),
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    "group",
    ["activations", "elementwise", "reductions", "shapes", "indexing", "products"],
)
def test_functions(torch, group):
    from tests.interop.torch_support import check

    class All(torch.nn.Module):
        def forward(self, x):
            return [f(x) for f in functions(torch)[group]]

    check(All(), torch.randn(3, 4))


@pytest.mark.parametrize("name", ["resnet", "vit", "gpt", "unet", "lstm"])
def test_architectures(torch, name):
    from tests.interop.torch_models import architectures
    from tests.interop.torch_support import check

    module, *args = architectures()[name]
    model = check(module, *args, dynamic_shapes="batch", compiled=name == "lstm")
    assert str(next(iter(model.inputs.values())).shape[0]) == "batch"


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_recurrent_layers_are_loops(torch, kind):
    from tests.interop.torch_support import check

    module = getattr(torch.nn, kind)(3, 4, 2, bidirectional=kind != "RNN")
    model = check(module, torch.randn(6, 2, 3), compiled=True)
    program = sg.compile(list(model.inputs.values()), model.outputs)
    assert len(program.source.splitlines()) < 700


def test_names_values_and_frozen_parameters(torch):
    from tests.interop.torch_support import check

    class Tied(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.words = torch.nn.Embedding(7, 4)
            self.head = torch.nn.Linear(4, 7, bias=False)
            self.head.weight = self.words.weight
            self.fixed = torch.nn.Linear(4, 4).requires_grad_(False)

        def forward(self, ids, *, scale=2.0):
            h = self.words(ids)
            with torch.no_grad():
                k = self.fixed(h)
            return {"logits": self.head(self.fixed(h) + k) * scale, "h": h.detach()}

    module = Tied()
    ids = torch.tensor([[1, 2, 3], [4, 5, 6]])
    model = check(module, ids, dynamic_shapes="sentences")
    assert str(model.inputs["ids"].shape) == "(sentences, 3)"
    assert model.params["head.weight"] is model.params["words.weight"]
    assert model.params["words.weight"].name == "words/weight"
    trainable = {n: p.op.trainable for n, p in model.params.items()}
    assert trainable["words.weight"]
    assert not trainable["fixed.bias"]
    assert model.outputs["logits"].scope == ""
    with torch.no_grad():
        module.words.weight.zero_()  # the values were copied
    assert sg.init(model.outputs)["words/weight"].any()
    with sg.scope("teacher"):
        again = sg.interop.from_torch(module, ids, dynamic_shapes=None)
    assert again.params["fixed.weight"].name == "teacher/fixed/weight"
    assert again.inputs["ids"].shape == (2, 3)


def test_named_dimensions(torch):
    Dim = torch.export.Dim

    class Pairs(torch.nn.Module):
        def forward(self, x, pair):
            a, (b, c) = x, pair
            return torch.cat([a, b]) * c.sum(), a.reshape(-1)

    args = torch.randn(4, 3), (torch.randn(5, 3), torch.randn(2))
    n = Dim("n", min=2)
    spec = {"x": {0: n}, "pair": ({0: Dim("m", min=2)}, None)}
    model = sg.interop.from_torch(Pairs(), args, dynamic_shapes=spec)
    assert [str(t.shape) for t in model.outputs] == ["(m + n, 3)", "(3*n,)"]
    default = sg.interop.from_torch(Pairs(), args)
    assert [str(t.shape[0]) for t in default.inputs.values()] == [
        "batch", "batch_2", "batch_3"
    ]  # fmt: skip
    x, b, c = (np.ones(s, np.float32) for s in ((7, 3), (1, 3), 2))
    run = sg.compile(list(model.inputs.values()), model.outputs)
    assert run(x, b, c)[0].shape == (8, 3)


def test_training_as_pytorch_trains(torch):
    """Batch statistics, their running values, and the way back into the module."""
    nn = torch.nn
    net = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)
    )
    model = sg.interop.from_torch(net, torch.randn(1, 1, 4, 4))
    y = sg.input("y", ("batch",), "int64")
    loss = sg.nn.cross_entropy(model.outputs, y)
    trainer = sg.Trainer(loss, sg.optim.SGD(0.1), seed=0)
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    rng = np.random.default_rng(0)
    for n in (5, 8, 5):
        x, labels = rng.normal(size=(n, 1, 4, 4)).astype("f"), rng.integers(0, 2, n)
        value = trainer.step(input=x, y=labels)
        optimizer.zero_grad()
        right = nn.functional.cross_entropy(net(torch.tensor(x)), torch.tensor(labels))
        right.backward()
        optimizer.step()
        np.testing.assert_allclose(value, right.item(), 1e-5)
    learned = model.state_dict(trainer.params)
    for name, tensor in net.state_dict().items():
        if name != "1.num_batches_tracked":
            np.testing.assert_allclose(learned[name], tensor, 1e-4, 1e-6)
    net.load_state_dict(learned, strict=False)
    predicted = trainer.predict(model.outputs, input=x)
    right = net.eval()(torch.tensor(x)).detach()
    np.testing.assert_allclose(predicted, right, 1e-4, 1e-5)


def test_dropout_is_on_in_training_only(torch):
    net = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Dropout(0.25))
    model = sg.interop.from_torch(net, torch.ones(2, 500), dynamic_shapes=None)
    x = np.ones((2, 500), np.float32)
    assert (sg.compile(list(model.inputs.values()), model.outputs)(x) == 1).all()
    w = sg.param("w", (1,), "ones")
    trainer = sg.Trainer(sg.mean(model.outputs * w), sg.optim.SGD(1e-6), seed=0)
    values = [trainer.step(input=x) for _ in range(5)]
    assert len(set(values)) == 5
    assert abs(np.mean(values) - 1) < 0.1
    off = sg.interop.from_torch(net.eval(), torch.ones(2, 500), dynamic_shapes=None)
    assert off.outputs is off.inputs["input"]


def test_errors(torch, monkeypatch):
    nn, x = torch.nn, torch.randn(2, 4)

    def of(function):
        class Inner(nn.Module):
            def forward(self, x):
                return function(x)

        return nn.Sequential(nn.Sequential(nn.Tanh(), Inner()))

    def fails(error, match, function, example=x, **options):
        module = function if isinstance(function, nn.Module) else of(function)
        with pytest.raises(error, match=match):
            sg.interop.from_torch(module, example, **options)

    fails(sg.GraphError, r"operator aten\.erfinv\.default \(node 'erfinv', module "
          r"'0\.1', a Inner\) is not supported", torch.erfinv)  # fmt: skip
    fails(sg.GraphError, r"'0\.1', a Inner.*depends on values", lambda x: x.nonzero())
    fails(sg.GraphError, "torch.where", lambda x: x[x > 0])
    wrong = nn.Sequential(nn.Linear(3, 2))
    fails(sg.GraphError, r"cannot trace Sequential: a and b must have same", wrong)
    fails(sg.DTypeError, r"element type float16.*\.float\(\)", lambda x: x.half())
    fails(sg.DTypeError, r"'weight' has.*float16", nn.Linear(4, 2).half(), x.half())
    fails(sg.GraphError, "proj_size", nn.LSTM(4, 3, proj_size=2), x[None])
    fails(sg.ShapeError, "'a b' is no name", lambda x: x, dynamic_shapes="a b")
    fails(sg.ShapeError, "dynamic_shapes=None", lambda x: x.diagonal())
    with pytest.raises(sg.GraphError, match=r"takes a torch\.nn\.Module, not <"):
        sg.interop.from_torch(lambda x: x, x)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(sg.CompileError, match=r"pip install 'symgrad\[torch\]'"):
        sg.interop.from_torch(nn.Tanh(), x)
