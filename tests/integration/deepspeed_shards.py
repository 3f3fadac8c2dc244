"""Two processes train a model by DeepSpeed on the CPU, and save its shards and its logits.

torchrun --nproc_per_node=2 deepspeed_shards.py BASE CHECKPOINT STAGE
"""

import os
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

os.environ["DS_ACCELERATOR"] = "cpu"
import deepspeed

# A kernel for reductions in shared memory, whose compilation takes minutes.
sys.modules["deepspeed.comm.torch"].build_shm_op = lambda: None  # type: ignore[attr-defined]

PROBE = torch.arange(3, 19).unsqueeze(0)


def main(base: str, checkpoint: Path, stage: int) -> None:
    model = AutoModelForCausalLM.from_pretrained(base)
    options = {
        "train_micro_batch_size_per_gpu": 2,
        "zero_optimization": {"stage": stage},
        "zero_allow_untested_optimizer": True,
    }
    deepspeed.init_distributed("gloo")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=options)
    ids = torch.randint(0, 200, (2, 16), generator=torch.Generator().manual_seed(int(os.environ["RANK"])))
    for _ in range(3):
        engine.backward(engine(input_ids=ids, labels=ids).loss)
        engine.step()
    engine.save_checkpoint(str(checkpoint), tag="global_step3")
    engine.eval()
    with torch.no_grad():
        logits = engine(input_ids=PROBE).logits
    if os.environ["RANK"] == "0":
        torch.save(logits, checkpoint / "logits.pt")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
