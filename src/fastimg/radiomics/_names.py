"""The families, and each feature's two names: the tag of the IBSI reference tables and PyRadiomics' class and feature.

A feature that only one side has carries None on the other, or, where PyRadiomics lacks it, a name in its style; `PEER`
holds the ones that PyRadiomics 3.0.1 computes.
"""

from __future__ import annotations

__all__ = ["ALIASES", "BY_NAME", "FAMILIES", "FEATURES", "PEER", "WITHOUT_VALUE", "Feature"]

from typing import NamedTuple


class Feature(NamedTuple):
    """One feature: tag in the IBSI tables (or None), class and name in PyRadiomics' style."""

    tag: str | None
    kind: str
    name: str

    @property
    def key(self) -> str:
        """What it is called inside this package: the tag, else class and name."""
        return self.tag or f"{self.kind}_{self.name}"


def _family(kind: str, prefix: str, text: str) -> tuple[Feature, ...]:
    """Lines of "tag Name"; a tag of "-" is none."""
    pairs = [line.split() for line in text.strip().splitlines()]
    return tuple(Feature(None if tag == "-" else f"{prefix}_{tag}", kind, name) for tag, name in pairs)


# An entry marked with * is no feature of PyRadiomics.
_TEXT = {
    "morphology": (
        "shape",
        "morph",
        """
        volume MeshVolume
        vol_approx VoxelVolume
        area_mesh SurfaceArea
        av SurfaceVolumeRatio
        comp_1 *Compactness1
        comp_2 *Compactness2
        sph_dispr *SphericalDisproportion
        sphericity Sphericity
        asphericity *Asphericity
        com *CentreOfMassShift
        diam Maximum3DDiameter
        pca_maj_axis MajorAxisLength
        pca_min_axis MinorAxisLength
        pca_least_axis LeastAxisLength
        pca_elongation Elongation
        pca_flatness Flatness
        vol_dens_aabb *VolumeDensityAxisAlignedBox
        area_dens_aabb *AreaDensityAxisAlignedBox
        vol_dens_ombb *VolumeDensityOrientedBox
        area_dens_ombb *AreaDensityOrientedBox
        vol_dens_aee *VolumeDensityEllipsoid
        area_dens_aee *AreaDensityEllipsoid
        vol_dens_mvee *VolumeDensityEnclosingEllipsoid
        area_dens_mvee *AreaDensityEnclosingEllipsoid
        vol_dens_conv_hull *VolumeDensityConvexHull
        area_dens_conv_hull *AreaDensityConvexHull
        integ_int *IntegratedIntensity
        moran_i *MoranI
        geary_c *GearyC
        - Maximum2DDiameterSlice
        - Maximum2DDiameterColumn
        - Maximum2DDiameterRow
        """,
    ),
    "local": ("local", "loc", "peak_loc *LocalPeak\npeak_glob *GlobalPeak"),
    "statistics": (
        "firstorder",
        "stat",
        """
        mean Mean
        var Variance
        skew Skewness
        kurt Kurtosis
        median Median
        min Minimum
        p10 10Percentile
        p90 90Percentile
        max Maximum
        iqr InterquartileRange
        range Range
        mad MeanAbsoluteDeviation
        rmad RobustMeanAbsoluteDeviation
        medad *MedianAbsoluteDeviation
        cov *CoefficientOfVariation
        qcod *QuartileCoefficientOfDispersion
        energy Energy
        rms RootMeanSquared
        - TotalEnergy
        - Entropy
        - Uniformity
        """,
    ),
    "histogram": (
        "histogram",
        "ih",
        """
        mean *Mean
        var *Variance
        skew *Skewness
        kurt *Kurtosis
        median *Median
        min *Minimum
        p10 *10Percentile
        p90 *90Percentile
        max *Maximum
        mode *Mode
        iqr *InterquartileRange
        range *Range
        mad *MeanAbsoluteDeviation
        rmad *RobustMeanAbsoluteDeviation
        medad *MedianAbsoluteDeviation
        cov *CoefficientOfVariation
        qcod *QuartileCoefficientOfDispersion
        entropy *Entropy
        uniformity *Uniformity
        max_grad *MaximumGradient
        max_grad_g *MaximumGradientLevel
        min_grad *MinimumGradient
        min_grad_g *MinimumGradientLevel
        """,
    ),
    "ivh": (
        "ivh",
        "ivh",
        """
        v10 *VolumeFraction10
        v90 *VolumeFraction90
        i10 *Intensity10
        i90 *Intensity90
        diff_v10_v90 *VolumeFractionDifference
        diff_i10_i90 *IntensityDifference
        auc *AreaUnderCurve
        """,
    ),
    "glcm": (
        "glcm",
        "cm",
        """
        joint_max MaximumProbability
        joint_avg JointAverage
        joint_var SumSquares
        joint_entr JointEntropy
        diff_avg DifferenceAverage
        diff_var DifferenceVariance
        diff_entr DifferenceEntropy
        sum_avg SumAverage
        sum_var *SumVariance
        sum_entr SumEntropy
        energy JointEnergy
        contrast Contrast
        dissimilarity *Dissimilarity
        inv_diff Id
        inv_diff_norm Idn
        inv_diff_mom Idm
        inv_diff_mom_norm Idmn
        inv_var InverseVariance
        corr Correlation
        auto_corr Autocorrelation
        clust_tend ClusterTendency
        clust_shade ClusterShade
        clust_prom ClusterProminence
        info_corr1 Imc1
        info_corr2 Imc2
        - MCC
        """,
    ),
    "glrlm": (
        "glrlm",
        "rlm",
        """
        sre ShortRunEmphasis
        lre LongRunEmphasis
        lgre LowGrayLevelRunEmphasis
        hgre HighGrayLevelRunEmphasis
        srlge ShortRunLowGrayLevelEmphasis
        srhge ShortRunHighGrayLevelEmphasis
        lrlge LongRunLowGrayLevelEmphasis
        lrhge LongRunHighGrayLevelEmphasis
        glnu GrayLevelNonUniformity
        glnu_norm GrayLevelNonUniformityNormalized
        rlnu RunLengthNonUniformity
        rlnu_norm RunLengthNonUniformityNormalized
        r_perc RunPercentage
        gl_var GrayLevelVariance
        rl_var RunVariance
        rl_entr RunEntropy
        """,
    ),
    "glszm": (
        "glszm",
        "szm",
        """
        sze SmallAreaEmphasis
        lze LargeAreaEmphasis
        lgze LowGrayLevelZoneEmphasis
        hgze HighGrayLevelZoneEmphasis
        szlge SmallAreaLowGrayLevelEmphasis
        szhge SmallAreaHighGrayLevelEmphasis
        lzlge LargeAreaLowGrayLevelEmphasis
        lzhge LargeAreaHighGrayLevelEmphasis
        glnu GrayLevelNonUniformity
        glnu_norm GrayLevelNonUniformityNormalized
        zsnu SizeZoneNonUniformity
        zsnu_norm SizeZoneNonUniformityNormalized
        z_perc ZonePercentage
        gl_var GrayLevelVariance
        zs_var ZoneVariance
        zs_entr ZoneEntropy
        """,
    ),
    "gldzm": (
        "gldzm",
        "dzm",
        """
        sde *SmallDistanceEmphasis
        lde *LargeDistanceEmphasis
        lgze *LowGrayLevelZoneEmphasis
        hgze *HighGrayLevelZoneEmphasis
        sdlge *SmallDistanceLowGrayLevelEmphasis
        sdhge *SmallDistanceHighGrayLevelEmphasis
        ldlge *LargeDistanceLowGrayLevelEmphasis
        ldhge *LargeDistanceHighGrayLevelEmphasis
        glnu *GrayLevelNonUniformity
        glnu_norm *GrayLevelNonUniformityNormalized
        zdnu *ZoneDistanceNonUniformity
        zdnu_norm *ZoneDistanceNonUniformityNormalized
        z_perc *ZonePercentage
        gl_var *GrayLevelVariance
        zd_var *ZoneDistanceVariance
        zd_entr *ZoneDistanceEntropy
        """,
    ),
    "ngtdm": (
        "ngtdm",
        "ngt",
        "coarseness Coarseness\ncontrast Contrast\nbusyness Busyness\ncomplexity Complexity\nstrength Strength",
    ),
    "ngldm": (
        "gldm",
        "ngl",
        """
        lde SmallDependenceEmphasis
        hde LargeDependenceEmphasis
        lgce LowGrayLevelEmphasis
        hgce HighGrayLevelEmphasis
        ldlge SmallDependenceLowGrayLevelEmphasis
        ldhge SmallDependenceHighGrayLevelEmphasis
        hdlge LargeDependenceLowGrayLevelEmphasis
        hdhge LargeDependenceHighGrayLevelEmphasis
        glnu GrayLevelNonUniformity
        glnu_norm *GrayLevelNonUniformityNormalized
        dcnu DependenceNonUniformity
        dcnu_norm DependenceNonUniformityNormalized
        dc_perc *DependencePercentage
        gl_var GrayLevelVariance
        dc_var DependenceVariance
        dc_entr DependenceEntropy
        dc_energy *DependenceEnergy
        """,
    ),
}

FAMILIES: tuple[str, ...] = tuple(_TEXT)

# PyRadiomics' names of the families.
ALIASES = {"shape": "morphology", "firstorder": "statistics", "gldm": "ngldm"}

FEATURES: dict[str, tuple[Feature, ...]] = {
    family: _family(kind, prefix, text.replace("*", "")) for family, (kind, prefix, text) in _TEXT.items()
}

PEER: frozenset[str] = frozenset(
    feature.key
    for family, (kind, prefix, text) in _TEXT.items()
    for feature in _family(kind, prefix, text)
    if not feature.name.startswith("*")
)

# PyRadiomics computes these where a parameter file names them.
BY_NAME = frozenset({"morph_comp_1", "morph_comp_2", "morph_sph_dispr"})
# Names that its parameter files may hold and that it gives no value for, with what they equal (removedfeatures.rst).
WITHOUT_VALUE = {
    "glcm": {
        "Dissimilarity": "DifferenceAverage",
        "Homogeneity1": "Id",
        "Homogeneity2": "Idm",
        "SumVariance": "ClusterTendency",
    },
    "gldm": {"DependencePercentage": "1", "GrayLevelNonUniformityNormalized": "Uniformity of firstorder"},
}
