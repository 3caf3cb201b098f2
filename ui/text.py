"""Every sentence of the page, in one place, so that they can be read together."""

from __future__ import annotations

NAME = "Unveil"
LINE = "See through haze and dark. Then measure how well it worked."

RESTORE = "Drop a hazy, dark or small picture, choose a method, and drag the handle to compare."
RESTORE_EMPTY = ("Nothing restored yet", "Drop a picture on the left, or click one of the examples below it.")
RESTORE_PRIVATE = (
    "Your pictures and their results are deleted from this server within about an hour of closing this page. "
    "Downloads are PNG: not one pixel is recompressed."
)

EVALUATE = (
    "Upload degraded pictures and, if you have them, their references. Tick the methods to compare, look at what "
    "paired with what, and start. Every number comes with its protocol."
)
EVALUATE_INPUTS = "Degraded pictures: one zip, or many files"
EVALUATE_REFERENCES = "References (optional): one zip, or many files"
EVALUATE_RESULTS = "One zip per method; its name is the method's name"
EVALUATE_PAIRS_EMPTY = (
    "No pictures yet",
    "Drop a zip above, or use the example set: eight hazy photographs with their clear originals.",
)
EVALUATE_TABLE_EMPTY = (
    "No scores yet",
    "Rows appear here while they are computed. You may close the page and come back.",
)
EVALUATE_KEEP = (
    "The pictures of a job are deleted about {hours:g} hours after it ends; other copies of them, within about an hour "
    "of closing this page. Scores and file names stay with the job, and on the leaderboard of this server if you leave "
    "this ticked."
)
EVALUATE_SIZES = (
    "Pictures whose size is not their reference's get no PSNR and no SSIM, unless you choose otherwise under “{label}”."
)
EVALUATE_BOARD = "On the leaderboard of this server the set is called “{name}”."
EVALUATE_RENAMED = "Other results of the same name are on it already, so yours stand beside them: {names}."
EVALUATE_REATTACH = (
    "This page's address now names the job: reload it, or open it elsewhere, and the job is still there."
)

LEADERBOARD = (
    "Everything scored on this server. One protocol, one set at a time, because numbers of different protocols do not "
    "compare."
)
LEADERBOARD_EMPTY = ("Nothing scored yet", "Start with the Evaluate tab; its example set takes about a minute.")

DIAGNOSE = (
    "Two people score the same pair and get different numbers. Drop the pair: here it is under every protocol, with "
    "what explains the difference. Without a reference there is NIQE alone."
)
DIAGNOSE_EMPTY = ("No pair yet", "Drop a result and its reference, or use the example pair.")

HAZE = (
    "How hazy does a vision–language model find a picture, and where? Write your own words: changing them re-scores at "
    "once, because the picture is encoded only once."
)
HAZE_COMPARE = (
    "Upload labelled pictures and see which words separate them best. AUROC is the chance that a hazy picture scores "
    "above a clear one; 0.5 is guessing."
)
HAZE_BARS = (
    "How near the picture is to each description: the cosine of their features. Bars start at the line of zero and "
    "point left where it is negative; the nearer description is the one further to the right."
)
HAZE_EMPTY = ("No picture yet", "Drop one or several pictures, or click an example.")

MODELS = "What each method is, where it comes from, what it was trained on, and whether its weights are here."
MODELS_LOAD = (
    "Load another model by its Hub repository id (for example <code>org/name</code>). It must be one of this project's "
    "networks or an architecture that spandrel knows; weights are safetensors or safely unpickled, never executed, and "
    "have up to {size:.3g} GB."
)
