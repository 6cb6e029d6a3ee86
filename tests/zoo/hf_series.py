"""Hugging Face models of time series and of decisions."""

import torch
from tests.zoo.hf_seq2seq import SIDES
from tests.zoo.hugging_face import BATCH, Line, family_of
from tests.zoo.windows import rows_alone

PAST, FUTURE, LAGS = 8, 3, [1, 2]
FORECAST = {
    "prediction_length": FUTURE,
    "context_length": PAST,
    "lags_sequence": LAGS,
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 20,
    "decoder_ffn_dim": 20,
    "num_time_features": 1,
}


def random(*shape, seed=3):
    """Random numbers that are the same in every process."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def forecast():
    """Two series with their past and future."""
    length = PAST + max(LAGS)
    return {
        "past_values": random(BATCH, length),
        "past_time_features": random(BATCH, length, 1),
        "past_observed_mask": torch.ones(BATCH, length),
        "future_values": random(BATCH, FUTURE, seed=4),
        "future_time_features": random(BATCH, FUTURE, 1, seed=5),
    }


def channels():
    """Two series of three channels."""
    return {"past_values": random(BATCH, 16, 3)}


def decisions():
    """Two episodes of four steps."""
    return {
        "states": random(BATCH, 4, 5),
        "actions": random(BATCH, 4, 2, seed=4),
        "rewards": random(BATCH, 4, 1, seed=5),
        "returns_to_go": random(BATCH, 4, 1, seed=6),
        "timesteps": torch.arange(4).expand(BATCH, 4),
        "attention_mask": torch.ones(BATCH, 4),
    }


def chosen_queries(truth):
    """Compare rows: each head looks at queries of its own choice, in the order of its choice."""
    return rows_alone(truth) if "self_attn" in truth.path else truth


SERIES = family_of(
    "time series",
    {
        "patchtst": Line(
            "PatchTSTModel",
            {
                "num_input_channels": 3,
                "context_length": 16,
                "patch_length": 4,
                "patch_stride": 4,
                "d_model": 16,
            }
            | {"num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 20},
            channels,
            sizes=False,
            reshape=rows_alone,
        ),
        "time-series-transformer": Line(
            "TimeSeriesTransformerModel", FORECAST, forecast, sizes=False, road="told", fields=SIDES
        ),
        "informer": Line(
            "InformerModel",
            FORECAST | {"attention_type": "full", "distil": False},
            forecast,
            sizes=False,
            road="told",
            fields=SIDES,
        ),
        "informer (ProbSparse)": Line(
            "InformerModel",
            FORECAST | {"attention_type": "prob", "sampling_factor": 2},
            forecast,
            sizes=False,
            road="told",
            fields=SIDES,
            reshape=chosen_queries,
        ),
        "decision transformer": Line(
            "DecisionTransformerModel",
            {"state_dim": 5, "act_dim": 2, "hidden_size": 16, "n_layer": 2, "n_head": 2, "max_ep_len": 8},
            decisions,
            sizes=False,
        ),
    },
    says={"informer (ProbSparse)": "queries of its own"},
)

FORECAST_WITHOUT = family_of(
    "no attention, forecasting",
    {
        "autoformer": Line(
            "AutoformerModel",
            FORECAST | {"moving_average": 3, "label_length": 4},
            forecast,
            road="none",
            sizes=False,
        )
    },
    empty=("autoformer",),
)
