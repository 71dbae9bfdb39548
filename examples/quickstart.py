# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # From ratings to a recommendation
#
# Open this file in Jupyter with [jupytext](https://jupytext.readthedocs.io), or run it as a script.
# It needs the ratings and the model of `reeltune fetch ml-100k` and `reeltune fetch smollm2-135m`,
# and takes some minutes on a CPU. The settings are those of `reeltune demo`.

# %%
import polars as pl

import reeltune

# %% [markdown]
# ## Prepare
# Every rating with enough earlier ratings of the same user becomes an example: the films before it,
# the film, and whether the user liked it. The last tenth of each user's examples is for testing.

# %%
folder = reeltune.prepare(
    "data/raw/ml-100k", "data/quickstart", history_len=5, export=None, notify=print
)
print({split: folder.counts[split] for split in ("train", "validation", "test")})

# %% [markdown]
# ## Train
# A LoRA adapter on the frozen model. `overrides` takes any key of `reeltune config explain`.

# %%
run = reeltune.train(
    "demo_cpu",
    overrides={
        "data.prepared_dir": "data/quickstart",
        "data.cache_dir": ".cache/quickstart",
        "train.output_dir": "output/quickstart",
    },
    overwrite=True,
)
print(pl.DataFrame([run.metrics["best"]]).select("step", "eval_auc", "eval_log_loss"))

# %% [markdown]
# ## Evaluate
# Base and tuned model on the same test rows, with intervals over users, and a metric of your own.


# %%
def accuracy(labels, p_yes, users):
    """Return the share of predictions on the right side of 0.5."""
    return float(((p_yes >= 0.5) == labels).mean())


evaluation = reeltune.evaluate(run, metrics={"accuracy_at_half": accuracy})
print(evaluation.table().select("scorer", "auc", "log_loss", "accuracy_at_half"))
print(evaluation.report())

# %% [markdown]
# ## Recommend
# For a user of the data, or for ratings of your own.

# %%
recommender = reeltune.load(run)
user = int(folder.timelines.user_id[0])
print(recommender.recommend(user=user, k=5))

# %%
films = recommender.recommend(user=user, k=5)
mine = pl.DataFrame({"item_id": films["item_id"], "rating": [5.0, 2.0, 4.0, 1.0, 4.0]})
recommended = recommender.recommend(ratings=mine, k=3)
print(recommended)
print(recommender.explain(int(recommended["item_id"][0]), ratings=mine))
