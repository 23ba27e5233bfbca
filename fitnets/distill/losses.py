"""The paper's two losses and the lambda schedule: pure functions of tensors and values.

Shape suffixes: B batch, K classes, C channels, H rows, W columns. All losses are batch means in float32.
"""

import torch.nn.functional as F
from torch import Tensor

from fitnets.config import Distill


def hint_loss(predicted_BCHW: Tensor, hint_BCHW: Tensor, *, scale: str) -> Tensor:
    """L_HT of Eq. 3.

    `scale="paper"`: half the squared distance, summed over the map, mean over the batch.
    `scale="released"`: summed over rows only, the mean over channels and columns, as in the released code.
    `scale="r2"`: the mean squared error; 1 - R2 when the hint is standardised per channel.
    """
    error_BCHW = predicted_BCHW.float() - hint_BCHW.float()
    if scale == "paper":
        return error_BCHW.square().flatten(1).sum(1).mean() / 2
    if scale == "released":
        return error_BCHW.square().sum(2).mean() / 2
    return error_BCHW.square().mean()


def kd_loss(student_BK: Tensor, teacher_BK: Tensor, label_B: Tensor, lam: Tensor | float, distill: Distill) -> Tensor:
    """L_KD of Eq. 2: H(y, P_S) + lambda * [tau^2] * H(P_T^tau, P_S^tau), from logits.

    The teacher's term is the cross-entropy, which has the gradient of the KL divergence.
    """
    student_BK = student_BK.float()
    soft_teacher_BK = F.softmax(teacher_BK.float() / distill.tau, dim=1)
    log_student_BK = F.log_softmax(student_BK / (distill.tau if distill.soften_student else 1.0), dim=1)
    soft = -(soft_teacher_BK * log_student_BK).sum(1).mean()
    if distill.tau_squared:
        soft = distill.tau**2 * soft
    return F.cross_entropy(student_BK, label_B) + lam * soft


def lambda_at(epoch: int, epochs: int, distill: Distill) -> float:
    """Lambda in `epoch` (from 1) of a stage 2 of `epochs`: `lambda_start` in the first epoch, `lambda_end` in the last.

    It depends on the planned number of epochs, never on where a trial is stopped.
    """
    if distill.schedule == "paper":
        done = (epoch - distill.hold) / (distill.saturate - distill.hold)
    else:
        done = (epoch - 1) / max(1, epochs - 1)
    return distill.lambda_start + (distill.lambda_end - distill.lambda_start) * min(1.0, max(0.0, done))
