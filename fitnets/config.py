"""The public values in one import: what a trial, a teacher and a data set are. Nothing here needs torch."""

from fitnets.values.data import Data as Data
from fitnets.values.outcome import Cost as Cost
from fitnets.values.outcome import Outcome as Outcome
from fitnets.values.outcome import Report as Report
from fitnets.values.outcome import Result as Result
from fitnets.values.outcome import Stage as Stage
from fitnets.values.recipe import Distill as Distill
from fitnets.values.recipe import Hint as Hint
from fitnets.values.recipe import LabelHint as LabelHint
from fitnets.values.recipe import Recipe as Recipe
from fitnets.values.teachers import Brought as Brought
from fitnets.values.teachers import Ensemble as Ensemble
from fitnets.values.teachers import Teacher as Teacher
from fitnets.values.teachers import Trained as Trained
from fitnets.values.training import Precision as Precision
from fitnets.values.training import Training as Training
