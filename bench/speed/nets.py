"""The paper's CIFAR-10 nets that are measured, with the text's 5 pieces in the fully connected layer."""

from fitnets.paper.nets import Reading, nets

_NETS = nets(Reading(dense_pieces=5))
TEACHER_NET = _NETS["cifar10/teacher"].net
FITNET_1 = _NETS["cifar10/fitnet1"].net
FITNET_4 = _NETS["cifar10/fitnet4"].net
