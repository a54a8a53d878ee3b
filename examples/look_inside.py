"""Train a small ViT on the embedded digits, then look inside it: about a minute on a laptop.

python examples/look_inside.py
"""

import numpy as np

import vitscope


def main() -> None:
    run = vitscope.train("digits", recipe="digits", epochs=3)
    model = vitscope.load(run.id)

    # A picture of one's own: a path, a Pillow picture or an array (H, W, 3) of bytes. This is a white bar on black.
    image = np.zeros((64, 64, 3), np.uint8)
    image[8:56, 28:36] = 255
    inside = vitscope.inspect(run.id, image)

    print(f"\nprediction: {inside.prediction.label} ({inside.prediction.probability:.0%})")
    print(f"attention: {inside.attention_kind}, {len(inside.attention)} layers of {inside.attention[0].shape}")
    looks = inside.attention[-1].mean(axis=0)[0]  # mean over the heads, row of the class token
    print(f"the class token's most looked-at token in the last layer: {looks.argmax()} ({looks.max():.0%})")

    print("\nThe largest modules:")
    print(inside.structure.nlargest(5, "parameters")[["type", "parameters", "flops"]].to_string())
    print("\nThe layers that moved most in training:")
    print(inside.layers.nlargest(5, "change")[["role", "effective_rank", "change"]].round(2).to_string())

    # The probe takes any timm module, and gives what any module inside it gave out.
    pixels = model.preprocess(image)[None]
    probed = vitscope.probe(model.module, pixels, activations=["norm"])
    print(f"\nafter the last norm: {probed.activations['norm'].shape}")


if __name__ == "__main__":
    main()
